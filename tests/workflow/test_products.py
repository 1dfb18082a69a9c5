"""Weights that are temporary stay until all that reads them is made."""

import json
import subprocess
import sys
from pathlib import Path

import tiny
from conftest import ROOT

DUMP = """
import atexit, json
include: "{snakefile}"
def dump():
    jobs = workflow.dag.needrun_jobs(exclude_finished=False)
    found = [
        [job.rule.name, [str(f) for f in job.input], [str(f) for f in job.output]]
        for job in jobs
    ]
    with open("{folder}/jobs.json", "w") as opened:
        json.dump(found, opened)
atexit.register(dump)
"""


def planned(folder: Path) -> list[tuple[str, set[str], set[str]]]:
    """Rule, inputs and outputs of every job of a study with all that reads weights."""
    arms = tiny.study(folder)["arms"] | {"full": {"seeds": [0, 1]}}
    config = tiny.save_study(
        folder,
        arms=arms,
        checkpoints="temp",
        artefacts={"adapters": ["rank1"], "models": ["full"]},
        decompose={"rank": 4, "updates": ["global", "local"]},
    )
    snakefile = folder / "dump.smk"
    snakefile.write_text(DUMP.format(snakefile=ROOT / "Snakefile", folder=folder))
    place = ["--directory", folder, "--configfile", config]
    subprocess.run(
        [sys.executable, "-m", "snakemake", "-n", "--snakefile", snakefile]
        + [*place, "--replace-workflow-config", "--", "all"],
        check=True,
        capture_output=True,
    )
    found = json.loads((folder / "jobs.json").read_text())
    return [(rule, set(inputs), set(outputs)) for rule, inputs, outputs in found]


def test_exports_are_cleaned_up_after_every_rule_that_reads_one_run(tmp_path):
    jobs = planned(tmp_path)
    cleaned = {}
    for rule, inputs, outputs in jobs:
        if rule == "cleanup_exports":
            (path,) = outputs
            cleaned[path.split("/")[2]] = inputs
    assert set(cleaned) == {"full-seed0", "full-seed1", "prs-seed0"}
    readers = set()
    for rule, inputs, outputs in jobs:
        runs = {f.split("/")[2] for f in inputs if "/checkpoints/step-" in f}
        # What compares runs waits for all of them: the weights stay for it, too.
        if len(runs) == 1:
            readers.add(rule)
            assert outputs & cleaned[runs.pop()], f"{rule} is not in products()"
    assert readers >= {"decompose", "evaluate", "write_merged", "trajectory", "tails"}
