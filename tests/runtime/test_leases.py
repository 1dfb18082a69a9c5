"""Leases: one holder at a time, also after a kill; what other hosts have written."""

import json
import os
import signal
import subprocess
import sys

import pytest

from conftest import ROOT
from rankone.errors import UserError
from rankone.runtime import leases
from rankone.runtime.leases import hold

HOLDER = """
import sys, time
from rankone.runtime.leases import hold
with hold(sys.argv[1], "it"):
    print("held", flush=True)
    time.sleep(float(sys.argv[2]))
"""


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    monkeypatch.setattr(leases, "SECONDS", 0.05)
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "state" / "run.lease"


def holder(path, seconds: float) -> subprocess.Popen:
    """Another process that holds the lease."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(path), str(seconds)],
        env=os.environ | {"PYTHONPATH": str(ROOT / "workflow" / "scripts")},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout.readline() == "held\n"
    return process


def test_a_second_holder_waits_for_the_end_of_the_first(path):
    other = holder(path, 1)
    with hold(path, "it"):
        assert other.wait(timeout=5) == 0


def test_without_waiting_it_is_told_who_holds_it(path):
    other = holder(path, 60)
    with pytest.raises(UserError, match=f"it is in use by process {other.pid} on "):
        with hold(path, "it", wait=False):
            pass
    other.kill()
    other.wait()


def test_a_killed_holder_has_left_the_lease(path):
    other = holder(path, 60)
    os.kill(other.pid, signal.SIGKILL)
    other.wait()
    assert json.loads(path.read_text())["pid"] == other.pid
    with hold(path, "it", wait=False):
        assert json.loads(path.read_text())["pid"] == os.getpid()


def test_a_lease_that_was_given_back_names_nobody(path):
    with hold(path, "it"):
        pass
    assert path.read_text() == ""


def test_a_holder_on_another_host_is_believed(path):
    path.parent.mkdir()
    path.write_text(json.dumps({"host": "elsewhere", "pid": 1, "job": None}))
    with pytest.raises(UserError, match="process 1 on elsewhere.*delete the file"):
        with hold(path, "it"):
            pass


def test_a_job_is_believed_to_run_while_slurm_does_not_answer(path, monkeypatch):
    monkeypatch.setenv("PATH", "")
    path.parent.mkdir()
    path.write_text(json.dumps({"host": "elsewhere", "pid": 1, "job": "7"}))
    with pytest.raises(UserError, match="SLURM job 7"):
        with hold(path, "it"):
            pass


def test_without_locks_a_process_of_this_host_is_looked_up(path):
    other = subprocess.Popen(["sleep", "60"])
    record = leases.myself() | {"pid": other.pid}
    assert not leases.ended(record, str(path))
    other.kill()
    other.wait()
    assert leases.ended(record, str(path))
