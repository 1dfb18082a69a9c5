"""The tiny study on a real SLURM: what it asks for, and what survives which fault."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest
import yaml
from safetensors.torch import load_file

import tiny
from conftest import ROOT
from rankone.runtime import leases

# What a user writes into the lines marked SITE.
SITE = {"my_account": "tests", "cpu": "batch", "gpu": "accelerated"}
STEPS = 100
# What the test's user overrides in the profile: minutes, megabytes.
ASKED = {
    "train": {"runtime": 45, "mem_mb": 3000},
    "evaluate": {"runtime": 20, "mem_mb": 2000},
    "decompose": {"runtime": 10, "mem_mb": 1500},
}
RUNS = ("full-seed0", "cancelled-seed0", "preempted-seed0")
METRICS = "results/train/full-seed0/metrics.tsv"


def save(folder: Path, steps: int = STEPS) -> None:
    """A study of equal runs, and the profile as a user of the cluster edits it."""
    tiny.save_study(
        folder,
        schedule={"max_steps": steps, "export_steps": [steps], "save_steps": 1},
        arms={run.removesuffix("-seed0"): {"seeds": [0]} for run in RUNS},
        variants=["full", "rank1"],
        analyze={"draws": 200, "parts": []},
    )
    text = (ROOT / "profiles" / "slurm" / "profile.yaml").read_text()
    text = re.sub(
        r"(\w+)(?=\s+# SITE)", lambda found: SITE.get(found[0], found[0]), text
    )
    profile = yaml.safe_load(text)
    for rule, resources in ASKED.items():
        profile.setdefault("set-resources", {}).setdefault(rule, {}).update(resources)
    (folder / "slurm").mkdir()
    (folder / "slurm" / "profile.yaml").write_text(yaml.safe_dump(profile))


def start(folder: Path, *targets: str) -> subprocess.Popen:
    """`snakemake --profile slurm` in the study's folder, its output in a file."""
    command = [sys.executable, "-m", "snakemake", *targets]
    command += ["--snakefile", str(ROOT / "Snakefile"), "--profile", "slurm"]
    command += ["--configfile", "config.yaml", "--replace-workflow-config"]
    command += ["--slurm-init-seconds-before-status-checks", "1"]
    command += ["--set-threads", "train=1", "decompose=1", "evaluate=1"]
    with open(folder / "output.txt", "a") as file:
        return subprocess.Popen(command, cwd=folder, stdout=file, stderr=file)


def finish(process: subprocess.Popen, folder: Path) -> str:
    """Wait for Snakemake; return what it has written."""
    status = process.wait(timeout=600)
    text = (folder / "output.txt").read_text()
    assert status == 0, text[-5000:]
    return text


def jobs(folder: Path, rule: str) -> list[dict]:
    """SLURM's records of a rule's jobs in a folder, in the order of their ids."""
    command = ["squeue", "--states=all", "--json"]
    run = subprocess.run(command, check=True, capture_output=True, text=True)
    found = [
        job
        for job in json.loads(run.stdout)["jobs"]
        if job["current_working_directory"] == str(folder)
        and job["comment"].startswith(f"rule_{rule}")
    ]
    return sorted(found, key=lambda job: job["job_id"])


def wait_until(condition) -> None:
    """Wait for at most five minutes."""
    deadline = time.monotonic() + 300
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in five minutes"
        time.sleep(0.2)


def wait_for_steps(folder: Path, run: str, steps: int = 2) -> dict:
    """Wait until a run has saved so many steps; return SLURM's record of its job.

    Older checkpoints go: any that is late enough will do.
    """
    saved = (folder / "state" / run).glob

    def late_enough() -> bool:
        files = saved("checkpoint-*/trainer_state.json")
        return any(int(f.parent.name.split("-")[1]) >= steps for f in files)

    wait_until(late_enough)
    return jobs(folder, f"train_wildcards_{run}")[-1]


def weights(folder: Path, run: str = "full-seed0", steps: int = STEPS) -> dict:
    """The exported weights of a run."""
    name = f"results/train/{run}/checkpoints/step-{steps}.safetensors"
    return load_file(folder / name)


def same(one: dict, other: dict) -> bool:
    """Whether two models are the same bits."""
    return one.keys() == other.keys() and all(
        (one[name] == other[name]).all() for name in one
    )


def resumed(folder: Path, run: str) -> bool:
    """Whether the last job of a run went on from a saved step."""
    return "going on from checkpoint-" in (folder / f"logs/train/{run}.log").read_text()


@pytest.fixture(scope="module")
def study(tmp_path_factory) -> Path:
    """A finished study; one training job was cancelled, one preempted."""
    folder = tmp_path_factory.mktemp("cluster")
    save(folder)
    process = start(folder)
    job = wait_for_steps(folder, "cancelled-seed0")
    subprocess.run(["scancel", str(job["job_id"])], check=True)
    node = wait_for_steps(folder, "preempted-seed0")["nodes"]
    urgent = ["--partition=urgent", f"--nodelist={node}", "--gpus=1", "--wrap=true"]
    subprocess.run(["sbatch", "--output=/dev/null", *urgent], check=True)
    finish(process, folder)
    return folder


def test_the_study_ends_with_its_report(study):
    assert (study / "results/report.html").exists()


@pytest.mark.parametrize("rule", ASKED)
def test_jobs_get_what_the_profile_asks_for(study, rule):
    gpu = rule != "decompose"
    for job in jobs(study, rule):
        assert job["partition"] == SITE["gpu" if gpu else "cpu"]
        assert job["tres_per_job"] == ("gres:gpu:1" if gpu else "")
        assert job["memory_per_node"] == ASKED[rule]["mem_mb"]
        assert job["time_limit"] == ASKED[rule]["runtime"]


def test_local_rules_are_no_jobs_of_the_cluster(study):
    rules = {job["comment"].split("_")[1] for job in jobs(study, "")}
    assert rules == set(ASKED)
    assert (study / "logs/analyze.log").exists()


def test_a_cancelled_training_saves_and_goes_on(study):
    states = [job["job_state"] for job in jobs(study, "train_wildcards_cancelled")]
    assert states == ["CANCELLED", "COMPLETED"]
    assert resumed(study, "cancelled-seed0")
    assert same(weights(study, "cancelled-seed0"), weights(study))


def test_a_preempted_training_is_requeued_and_goes_on(study):
    (job,) = jobs(study, "train_wildcards_preempted")
    assert (job["job_state"], job["restart_cnt"]) == ("COMPLETED", 1)
    assert resumed(study, "preempted-seed0")
    assert same(weights(study, "preempted-seed0"), weights(study))


def test_after_a_killed_snakemake_the_same_command_goes_on(study, tmp_path):
    save(tmp_path)
    first = start(tmp_path, METRICS)
    orphan = wait_for_steps(tmp_path, "full-seed0")["job_id"]
    second = start(tmp_path, METRICS)
    assert second.wait(timeout=120) == 1
    assert (
        f"is in use by process {first.pid} on" in (tmp_path / "output.txt").read_text()
    )
    os.kill(first.pid, signal.SIGKILL)
    first.wait()
    text = finish(start(tmp_path, METRICS), tmp_path)
    assert f"left SLURM jobs {orphan} in this folder" in text
    old, new = jobs(tmp_path, "train")
    assert old["job_id"] == orphan and old["end_time"] <= new["start_time"]
    assert resumed(tmp_path, "full-seed0")
    metrics = pd.read_csv(tmp_path / METRICS, sep="\t")
    assert metrics["step"].tolist() == list(range(1, STEPS + 1))
    assert same(weights(tmp_path), weights(study))


def test_a_lease_of_another_host_is_held_until_its_job_has_ended(tmp_path, monkeypatch):
    monkeypatch.setattr(leases, "SECONDS", 0.5)
    submit = ["sbatch", "--parsable", "--output=/dev/null", "--wrap=sleep 3"]
    job = subprocess.check_output(submit, text=True).strip()
    path = tmp_path / "run.lease"
    path.write_text(json.dumps({"host": "elsewhere", "pid": 1, "job": job}))
    with leases.hold(path, "it"):
        state = ["squeue", "--states=all", "--noheader", f"--jobs={job}", "--format=%T"]
        assert subprocess.check_output(state, text=True).strip() == "COMPLETED"


@pytest.mark.long
def test_a_training_out_of_time_gets_sigterm_saves_and_goes_on(tmp_path):
    steps = 400
    save(tmp_path, steps)
    process = start(tmp_path, METRICS, METRICS.replace("full", "cancelled"))
    job = wait_for_steps(tmp_path, "full-seed0")
    # Five minutes is what the profile's --signal leaves for saving.
    limit = f"jobid={job['job_id']}", "timelimit=5"
    subprocess.run(["scontrol", "update", *limit], check=True)
    log = tmp_path / "logs/train/full-seed0.log"
    wait_until(lambda: "stopped by a signal at step" in log.read_text())
    finish(process, tmp_path)
    states = [job["job_state"] for job in jobs(tmp_path, "train_wildcards_full")]
    assert states == ["FAILED", "COMPLETED"] and resumed(tmp_path, "full-seed0")
    undisturbed = weights(tmp_path, "cancelled-seed0", steps)
    assert same(weights(tmp_path, steps=steps), undisturbed)
