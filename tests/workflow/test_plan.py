"""What Snakemake would do: dry runs of every shipped config, limits, the estimate."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

import tiny
from conftest import ROOT

SNAKEMAKE = [sys.executable, "-m", "snakemake"]
CONFIGS = sorted((ROOT / "config").glob("*.yaml"))
# Writes what each planned job asks for, once Snakemake has worked it out.
DUMP = """
import atexit, json, sys
include: "{snakefile}"
def asked():
    jobs = workflow.dag.needrun_jobs(exclude_finished=False)
    found = {{job.rule.name: dict(job.resources.items()) for job in jobs}}
    found["modules"] = dict.fromkeys(sys.modules)
    with open("{folder}/asked.json", "w") as opened:
        json.dump(found, opened, default=str)
atexit.register(asked)
"""


def run(*arguments: str | Path, code: int = 0) -> str:
    """Output of Snakemake in the checkout."""
    done = subprocess.run(
        [*SNAKEMAKE, *map(str, arguments)], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr


def at(folder: Path, config: Path | None = None) -> list:
    """Arguments for a study in a folder."""
    config = config or tiny.save_study(folder)
    return ["--directory", folder, "--configfile", config, "--replace-workflow-config"]


def asked(folder: Path, *arguments: str) -> dict[str, dict]:
    """Resources of one job of each rule of the tiny study, threads as `_cores`."""
    snakefile = folder / "dump.smk"
    snakefile.write_text(DUMP.format(snakefile=ROOT / "Snakefile", folder=folder))
    place = ["--snakefile", snakefile, *at(folder)]
    run(*arguments, "-n", *place, "--", "results/report.html")
    return json.loads((folder / "asked.json").read_text())


@pytest.mark.parametrize("profile", ["profiles/local", "slurm"])
@pytest.mark.parametrize("config", CONFIGS, ids=lambda path: path.stem)
def test_a_shipped_config_is_planned_with_its_cost(config, profile, tmp_path):
    text = run("--profile", profile, "-n", *at(tmp_path, config))
    assert "\nall " in text and text.count("\nEstimate at ") == 1
    assert "GPU hours: " in text and " GB at the most" in text
    assert not list(tmp_path.glob("results"))


@pytest.mark.parametrize("quiet", [["--lint"], ["--unlock"], ["-n", "-q", "all"]])
def test_the_estimate_is_printed_for_a_plan_alone(quiet, tmp_path):
    assert "Estimate" not in run(*at(tmp_path), *quiet)


def test_the_estimate_is_of_the_jobs_that_are_left(tmp_path):
    text = run(*at(tmp_path), "-n", "results/evaluate/base/step-0.parquet")
    assert "1 jobs: evaluate" in text and "train" not in text.split("Estimate")[1]


def test_a_cluster_gives_gpus_memory_and_time_to_the_rules_that_need_them(tmp_path):
    found = asked(tmp_path, "--profile", "slurm")
    on_gpu = {rule for rule, needs in found.items() if needs.get("gpu")}
    assert on_gpu == {"train", "evaluate", "sample"}
    assert {found[rule]["slurm_partition"] for rule in on_gpu} == {"gpu"}
    for rule in (*on_gpu, "decompose", "tails", "trajectory"):
        assert found[rule]["mem_mb"] >= 2000 and found[rule]["runtime"] >= 10


def test_a_start_imports_no_heavy_library(tmp_path):
    modules = set(asked(tmp_path)["modules"])
    heavy = {"torch", "transformers", "lm_eval", "trl", "scipy", "matplotlib"}
    assert not modules & heavy
    assert "rankone.study.validation" in modules


def test_a_profile_overrides_what_the_model_asks_for(tmp_path):
    change = ["--set-resources", "train:runtime=77", "train:mem_mb=88"]
    found = asked(tmp_path, "--profile", "slurm", *change)["train"]
    assert (found["runtime"], found["mem_mb"]) == (77, 88)


@pytest.mark.parametrize(("gpus", "cores"), [(None, 8), (1, 8), (2, 4), (8, 1)])
def test_gpu_jobs_share_the_cores_of_a_workstation(gpus, cores, tmp_path):
    limit = ["--resources", f"gpu={gpus}"] if gpus else []
    found = asked(tmp_path, "--cores", "8", *limit)
    assert found["train"]["_cores"] == found["evaluate"]["_cores"] == cores
    assert found["decompose"]["_cores"] == 8
