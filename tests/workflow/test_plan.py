"""What Snakemake would do: dry runs of every shipped config, limits, the estimate."""

import json
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

import tiny
from conftest import ROOT
from running import output, planned, snakemake

SNAKEMAKE = [sys.executable, "-m", "snakemake"]
CONFIGS = sorted(path.stem for path in (ROOT / "config").glob("*.yaml"))
# Every config on a workstation, the default one by every name of a profile, too.
SHIPPED = [(name, "profiles/local") for name in CONFIGS]
SHIPPED += [("config", "slurm"), ("config", "profiles/slurm"), ("paper", "slurm")]
ALL_ON_SLURM = [(n, "slurm") for n in CONFIGS if (n, "slurm") not in SHIPPED]
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


@pytest.fixture(scope="module")
def asked(tmp_path_factory):
    """Resources of one job of each rule of the tiny study, threads as `_cores`.

    A function of Snakemake's arguments; asked once for each set of them.
    """

    @cache
    def found(*arguments: str) -> dict[str, dict]:
        folder = tmp_path_factory.mktemp("asked")
        snakefile = folder / "dump.smk"
        snakefile.write_text(DUMP.format(snakefile=ROOT / "Snakefile", folder=folder))
        place = ["--snakefile", snakefile, *at(folder)]
        run(*arguments, "-n", *place, "--", "results/report.html")
        return json.loads((folder / "asked.json").read_text())

    return found


@pytest.mark.parametrize(
    ("config", "profile"),
    [*SHIPPED, *(pytest.param(*pair, marks=pytest.mark.long) for pair in ALL_ON_SLURM)],
)
def test_a_shipped_config_is_planned_with_its_cost(config, profile, tmp_path):
    path = ROOT / "config" / f"{config}.yaml"
    text = run("--profile", profile, "-n", *at(tmp_path, path))
    assert "\nall " in text and text.count("\nEstimate at ") == 1
    assert "GPU hours: " in text and " GB at the most" in text
    assert not list(tmp_path.glob("results"))


def test_the_embedded_study_is_planned_whole(tmp_path):
    (tmp_path / "config.yaml").symlink_to(ROOT / "config" / "config.yaml")
    jobs = planned(snakemake(tmp_path, "-n", "--quiet", "reason"))
    expected = {"fetch_package": 2, "train": 3, "decompose": 7, "evaluate": 8, "all": 1}
    expected |= {"sample": 4, "analyze_samples": 1, "analyze_knowledge": 1}
    expected |= {"trajectory": 3, "analyze_alignment": 1}
    expected |= {"tails": 2, "anatomy": 1, "overlap": 1, "claims": 1}
    assert {name: jobs[name] for name in expected} == expected


def test_a_fresh_study_is_planned_from_training_to_report(tmp_path):
    tiny.save_study(tmp_path)
    jobs = planned(snakemake(tmp_path, "-n", "--quiet", "reason"))
    expected = {"train": 2, "decompose": 3, "evaluate": 4, "sample": 3, "report": 1}
    expected |= {"trajectory": 2, "analyze_alignment": 1, "tails": 2, "claims": 1}
    assert {name: jobs[name] for name in expected} == expected


def test_a_study_without_further_parts_runs_none_of_their_rules(tmp_path):
    tiny.save_study(tmp_path, analyze={"draws": 500, "parts": []})
    jobs = planned(snakemake(tmp_path, "-n", "--quiet", "reason"))
    parts = {"sample", "tails", "anatomy", "overlap", "trajectory", "analyze_alignment"}
    assert not parts & jobs.keys() and jobs["claims"] == 1


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"benchmark": {}}, "'benchmark' is unknown; did you mean benchmarks?"),
        ({"variants": ["full", "rank_1"]}, "'rank_1' is unknown"),
        ({"model": {"path": "nowhere"}}, "nowhere has no config.json"),
    ],
)
def test_a_wrong_config_is_refused_before_any_job(tmp_path, change, sentence):
    tiny.save_study(tmp_path, **change)
    run = snakemake(tmp_path)
    assert run.returncode != 0 and sentence in output(run)
    assert not (tmp_path / "results").exists()


@pytest.mark.parametrize("quiet", [["--lint"], ["--unlock"], ["-n", "-q", "all"]])
def test_the_estimate_is_printed_for_a_plan_alone(quiet, tmp_path):
    assert "Estimate" not in run(*at(tmp_path), *quiet)


def test_the_estimate_is_of_the_jobs_that_are_left(tmp_path):
    text = run(*at(tmp_path), "-n", "results/evaluate/base/step-0.parquet")
    assert "1 jobs: evaluate" in text and "train" not in text.split("Estimate")[1]


def test_a_cluster_gives_gpus_memory_and_time_to_the_rules_that_need_them(asked):
    found = asked("--profile", "slurm")
    on_gpu = {rule for rule, needs in found.items() if needs.get("gpu")}
    assert on_gpu == {"train", "evaluate", "sample"}
    assert {found[rule]["slurm_partition"] for rule in on_gpu} == {"gpu"}
    for rule in (*on_gpu, "decompose", "tails", "trajectory"):
        assert found[rule]["mem_mb"] >= 2000 and found[rule]["runtime"] >= 10


def test_a_start_imports_no_heavy_library(asked):
    modules = set(asked("--cores", "8")["modules"])
    heavy = {"torch", "transformers", "lm_eval", "trl", "scipy", "matplotlib"}
    assert not modules & heavy
    assert "rankone.study.validation" in modules


def test_a_profile_overrides_what_the_model_asks_for(asked):
    change = ["--set-resources", "train:runtime=77", "train:mem_mb=88"]
    found = asked("--profile", "slurm", *change)["train"]
    assert (found["runtime"], found["mem_mb"]) == (77, 88)


@pytest.mark.parametrize(("gpus", "cores"), [(None, 8), (1, 8), (2, 4), (8, 1)])
def test_gpu_jobs_share_the_cores_of_a_workstation(gpus, cores, asked):
    limit = ["--resources", f"gpu={gpus}"] if gpus else []
    found = asked("--cores", "8", *limit)
    assert found["train"]["_cores"] == found["evaluate"]["_cores"] == cores
    assert found["decompose"]["_cores"] == 8
