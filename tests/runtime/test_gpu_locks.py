"""GPUs of one machine: no two jobs share one. Devices are names; none is touched."""

import os
import subprocess
import sys

import pytest

from conftest import ROOT
from rankone.errors import UserError
from rankone.runtime import gpu_locks
from rankone.runtime.gpu_locks import lock_gpus, names, take

HOLDER = """
import sys, time
from pathlib import Path
from rankone.runtime.gpu_locks import take
with take(int(sys.argv[1]), ["0", "1"], Path(sys.argv[2])) as taken:
    print(*taken, flush=True)
    time.sleep(float(sys.argv[3]))
"""


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    monkeypatch.setattr(gpu_locks, "SECONDS", 0.05)
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)


def holder(folder, wanted: int, seconds: float) -> tuple[subprocess.Popen, set[str]]:
    """Another process that holds GPUs, and their names."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(wanted), str(folder), str(seconds)],
        env=os.environ | {"PYTHONPATH": str(ROOT / "workflow" / "scripts")},
        stdout=subprocess.PIPE,
        text=True,
    )
    return process, set(process.stdout.readline().split())


@pytest.mark.parametrize(
    ("visible", "count", "expected"),
    [
        (None, 3, ["0", "1", "2"]),
        ("2,3", 2, ["2", "3"]),
        ("GPU-ab, GPU-cd", 2, ["GPU-ab", "GPU-cd"]),
        ("", 0, []),
        (None, 0, []),
    ],
)
def test_devices_are_those_that_the_user_left_visible(visible, count, expected):
    assert names(visible, count) == expected


def test_two_jobs_never_share_a_gpu(tmp_path):
    (first, one), (second, other) = (holder(tmp_path, 1, 60) for _ in range(2))
    assert one | other == {"0", "1"}
    first.kill()
    first.wait()
    with take(1, ["0", "1"], tmp_path) as taken:
        assert set(taken) == one
    second.kill()
    second.wait()


def test_a_job_waits_until_as_many_are_free_as_it_wants(tmp_path):
    other, _ = holder(tmp_path, 1, 1)
    with take(2, ["0", "1"], tmp_path) as taken:
        assert other.wait(timeout=5) == 0 and taken == ["0", "1"]


def test_more_than_there_are_is_refused_with_both_numbers(tmp_path):
    with pytest.raises(UserError, match="wants 3 GPUs, but this machine has 2: 0, 1"):
        with take(3, ["0", "1"], tmp_path):
            pass


def test_a_job_sees_its_own_gpus_alone(tmp_path, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,5,6")
    with lock_gpus(2, 3, tmp_path):
        assert os.environ["CUDA_VISIBLE_DEVICES"] == "4,5"


def test_a_job_without_gpus_sees_none(tmp_path):
    with lock_gpus(0, 2, tmp_path):
        assert os.environ["CUDA_VISIBLE_DEVICES"] == ""


def test_a_machine_without_gpus_and_a_slurm_job_are_left_alone(tmp_path, monkeypatch):
    with lock_gpus(1, 0, tmp_path):
        assert "CUDA_VISIBLE_DEVICES" not in os.environ
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    with lock_gpus(1, 2, tmp_path):
        assert "CUDA_VISIBLE_DEVICES" not in os.environ
    assert not list(tmp_path.iterdir())
