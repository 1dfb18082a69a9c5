"""Training that is killed, terminated or left behind ends with the same weights."""

import json
import os
import signal
import subprocess
import time
from pathlib import Path

import pandas as pd
import pytest
from safetensors.torch import load_file

import tiny
from running import command, output, snakemake

STEPS = 40
EXPORTED = [4, STEPS]
# Equal runs, a fault each.
ARMS = ("undisturbed", "killed", "terminated", "left")


def metrics(arm: str) -> str:
    return f"results/train/{arm}-seed0/metrics.tsv"


@pytest.fixture(scope="module")
def study(tmp_path_factory) -> Path:
    """The folder of a study of which the undisturbed run is trained."""
    folder = tmp_path_factory.mktemp("stops")
    schedule = {"max_steps": STEPS, "export_steps": EXPORTED, "save_steps": 1}
    arms = {arm: {"seeds": [0]} for arm in ARMS}
    tiny.save_study(folder, schedule=schedule, arms=arms)
    run = snakemake(folder, metrics("undisturbed"))
    assert run.returncode == 0, output(run)[-5000:]
    return folder


def stop_training(folder: Path, arm: str, number: int, kill=os.killpg) -> None:
    """Start training; once a step is saved kill all of it, or what `kill` does.

    `kill` takes the id of Snakemake's process, which leads a group, and a signal.
    """
    run = subprocess.Popen(
        command(folder, metrics(arm)),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    saved = folder / f"state/{arm}-seed0/checkpoint-1/trainer_state.json"
    deadline = time.monotonic() + 120
    while not saved.exists() and run.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)
    assert saved.exists(), "training ended before it could be killed"
    kill(run.pid, number)
    run.wait()
    assert not (folder / metrics(arm)).exists()


def assert_as_undisturbed(folder: Path, arm: str) -> None:
    """Every step is there once, and the exported weights are the same bits."""
    table = pd.read_csv(folder / metrics(arm), sep="\t")
    assert table["step"].tolist() == list(range(1, STEPS + 1))
    for step in EXPORTED:
        one, other = (
            load_file(
                folder / f"results/train/{name}/checkpoints/step-{step}.safetensors"
            )
            for name in ("undisturbed-seed0", f"{arm}-seed0")
        )
        assert one.keys() == other.keys()
        assert all((one[key] == other[key]).all() for key in one)


def test_a_killed_training_ends_with_the_same_weights(study):
    stop_training(study, "killed", signal.SIGKILL)
    run = snakemake(study, metrics("killed"))
    assert run.returncode == 0, output(run)[-3000:]
    assert "going on from checkpoint-" in output(run)
    assert_as_undisturbed(study, "killed")


def test_a_terminated_training_saves_says_so_and_goes_on(study):
    stop_training(study, "terminated", signal.SIGTERM)
    log = (study / "logs/train/terminated-seed0.log").read_text()
    assert "stopped by a signal at step" in log
    run = snakemake(study, metrics("terminated"))
    assert run.returncode == 0, output(run)[-3000:]
    assert "going on from checkpoint-" in output(run)
    assert_as_undisturbed(study, "terminated")


def test_a_training_that_a_killed_snakemake_left_is_waited_for(study):
    stop_training(study, "left", signal.SIGKILL, os.kill)
    left = json.loads((study / "state/left-seed0.lease").read_text())["pid"]
    os.kill(left, signal.SIGSTOP)
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    run = subprocess.Popen(command(study, metrics("left")), **pipes)
    said = f"The state of run left-seed0 is in use by process {left} on"
    assert any(said in line for line in run.stdout)
    os.kill(left, signal.SIGCONT)
    text, _ = run.communicate(timeout=300)
    assert run.returncode == 0, text[-3000:]
    assert f"step {STEPS} of {STEPS}" not in text
    assert_as_undisturbed(study, "left")
