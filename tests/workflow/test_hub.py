"""What comes from a hub: downloaded once at its commit, used offline afterwards."""

import json
import os
import subprocess
import sys

import pandas as pd
import pytest
import yaml

import tiny
from conftest import ROOT
from fake_hub import COMMIT, serve
from rankone.data import hub
from rankone.errors import UserError
from rankone.study.config import read
from running import command, output

README = """---
configs:
- config_name: main
  data_files:
  - {split: train, path: main/train.jsonl}
  - {split: test, path: main/test.jsonl}
---
"""


def save_repositories(root) -> None:
    """A model, and the data of lm-eval's gsm8k."""
    tiny.save_model(root / "models" / "org" / "tiny")
    folder = root / "datasets" / "openai" / "gsm8k"
    (folder / "main").mkdir(parents=True)
    (folder / "README.md").write_text(README)
    (folder / "gsm8k.py").write_text("raise SystemError('a script was run')")
    for split in ("train", "test"):
        rows = [{"question": f"{i} + 1", "answer": f"#### {i + 1}"} for i in range(5)]
        lines = "".join(json.dumps(row) + "\n" for row in rows)
        (folder / "main" / f"{split}.jsonl").write_text(lines)


def study(folder, revision: str) -> dict:
    """The tiny study with a model and a benchmark of the hub."""
    weather = tiny.study(folder)["benchmarks"]["weather"]
    gsm8k = {"domain": "mathematics", "metric": "exact_match,flexible-extract"}
    gsm8k |= {"hub": "openai/gsm8k", "revision": revision}
    gsm8k |= {"shots": 1, "generation": {"max_gen_toks": 4}}
    model = {"hub": "org/tiny", "revision": revision, "parameters": 25_000}
    benchmarks = {"gsm8k": gsm8k, "weather": weather}
    return tiny.study(folder) | {"model": model, "benchmarks": benchmarks}


def run(folder, address: str, *arguments: str) -> subprocess.CompletedProcess:
    """Snakemake with its hub at an address and its caches in the folder."""
    own = {"HF_ENDPOINT": address, "HF_HOME": str(folder / "cache")}
    return subprocess.run(
        command(folder, *arguments),
        capture_output=True,
        text=True,
        timeout=300,
        env=os.environ | own,
    )


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory):
    """A folder whose base was benchmarked after the hub had gone, and its requests."""
    folder, root = (tmp_path_factory.mktemp(name) for name in ("study", "hub"))
    save_repositories(root)
    tiny.save_task(folder / "tasks")
    (folder / "config.yaml").write_text(yaml.safe_dump(study(folder, COMMIT)))
    ready = ["results/prepare/benchmarks.tsv", "results/prepare/model"]
    with serve(root) as (address, asked):
        prepared = run(folder, address, *ready)
        assert prepared.returncode == 0, output(prepared)[-5000:]
    scored = run(folder, address, "results/evaluate/base/step-0.parquet")
    assert scored.returncode == 0, output(scored)[-5000:]
    return folder, asked


def test_downloads_are_at_the_commit_and_have_no_scripts(evaluated):
    folder, asked = evaluated
    files = [line for line in asked if "/resolve/" in line]
    assert files and all(f"/resolve/{COMMIT}/" in line for line in files)
    assert not any(line.endswith(".py") for line in files)
    tasks = pd.read_csv(folder / "results/prepare/benchmarks.tsv", sep="\t")
    row = tasks.set_index("task").loc["gsm8k"]
    assert (row["items"], row["shots"], row["revision"]) == (5, 1, COMMIT)


def test_benchmarks_of_lm_eval_work_offline_and_leave_no_cache(evaluated):
    folder, _ = evaluated
    scores = pd.read_parquet(folder / "results/evaluate/base/step-0.parquet")
    assert (scores["benchmark"] == "gsm8k").sum() == 5
    left = [file for file in (folder / "cache").rglob("*") if file.is_file()]
    assert not left


def test_a_branch_may_be_planned_but_not_run_until_it_is_pinned(tmp_path):
    tiny.save_task(tmp_path / "tasks")
    path = tmp_path / "config.yaml"
    text = yaml.safe_dump(study(tmp_path, "main"))
    path.write_text(f"# a comment\n{text}")
    nowhere = "http://127.0.0.1:9"
    assert run(tmp_path, nowhere, "-n").returncode == 0
    refused = run(tmp_path, nowhere)
    assert refused.returncode != 0 and not (tmp_path / "results").exists()
    assert "org/tiny is at the revision 'main', which is not a commit" in output(
        refused
    )
    save_repositories(tmp_path / "hub")
    pin = [sys.executable, str(ROOT / "workflow/scripts/pin.py"), str(path)]
    with serve(tmp_path / "hub") as (address, _):
        subprocess.run(pin, check=True, env=os.environ | {"HF_ENDPOINT": address})
    pinned = text.replace("revision: main", f"revision: {COMMIT}")
    assert path.read_text() == f"# a comment\n{pinned}"


def test_one_repository_at_two_revisions_is_refused(tmp_path):
    config = study(tmp_path, COMMIT)
    config["benchmarks"]["again"] = config["benchmarks"]["gsm8k"] | {"revision": "x"}
    with pytest.raises(UserError, match="openai/gsm8k is asked for at two revisions"):
        hub.assets(read(config))
