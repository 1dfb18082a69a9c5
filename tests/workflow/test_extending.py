"""The additions of docs/extending.md as a plugin, from problems to the page."""

import json
import re
import zipfile

import pandas as pd
import pytest
import yaml

import tiny
from conftest import ROOT
from rankone.files import read_jsonl, sha256
from running import output, snakemake

BLOCK = re.compile(r"```python\n(.*?)```", re.S)
WORDS = ["sea", "sun", "rain", "wind", "snow", "fog", "ice", "hail", "dew", "mist"]


def save_package(folder) -> str:
    """The package file of the benchmark where it would be fetched to; its hash."""
    packages = folder / "results" / "prepare" / "packages"
    packages.mkdir(parents=True)
    with zipfile.ZipFile(packages / "sea", "w") as archive:
        tides = [["is the tide high", "yes"], ["is the sea wet", "surely"]]
        archive.writestr("sea/tides.json", json.dumps(tides))
    return sha256(packages / "sea")


def save_study(folder) -> None:
    """A study of two steps with one addition of each kind."""
    blocks = BLOCK.findall((ROOT / "docs" / "extending.md").read_text())
    plugin = "\n".join(blocks).replace("DIGEST", save_package(folder))
    (folder / "additions.py").write_text(plugin)
    words = [f"{a} and {b}".replace(" ", "") for a in WORDS for b in WORDS]
    (folder / "words.txt").write_text("\n".join(words))
    tiny.save_model(folder / "model")
    study = tiny.study(folder)
    for section in ("grpo", "problems", "benchmarks"):
        del study[section]
    exact = {"domain": "mathematics", "metric": "exact_match"}
    study |= {
        "plugins": [str(folder / "additions.py")],
        "problems": {
            "source": "words",
            "words": str(folder / "words.txt"),
            "sizes": {"train": 20, "train_probe": 8, "held_out": 16, "shifted": 4},
        },
        "imitation": {"learning_rate": 1e-2, "per_device_train_batch_size": 4},
        "schedule": {"max_steps": 2, "export_steps": [2], "save_steps": 1},
        "arms": {"full": {"seeds": [0], "method": "imitation"}},
        "variants": ["full", "2x_rank_opposed1"],
        "evaluate": {"dtype": "float32", "batch_size": 16},
        "benchmarks": {
            "problems_held_out": exact,
            "tides": {"domain": "knowledge", "metric": "acc"},
        },
        "analyze": {"draws": 500, "parts": []},
    }
    (folder / "config.yaml").write_text(yaml.safe_dump(study))


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    folder = tmp_path_factory.mktemp("extended")
    save_study(folder)
    run = snakemake(folder)
    assert run.returncode == 0, output(run)[-5000:]
    return folder / "results"


def test_problems_of_the_source_are_rewarded_by_the_verifier(results):
    problems = read_jsonl(results / "prepare" / "problems" / "train.jsonl")
    assert len(problems) == 20 and {p["verifier"] for p in problems} == {"first_letter"}
    probes = pd.read_parquet(results / "train" / "full-seed0" / "probes.parquet")
    assert len(probes) and (probes["correct"] <= probes["samples"]).all()


def test_the_method_trains_and_its_code_is_the_plugins(results):
    metrics = pd.read_table(results / "train" / "full-seed0" / "metrics.tsv")
    assert metrics["loss"].notna().all() and metrics["reward"].isna().all()
    manifest = json.loads(
        (results / "train" / "full-seed0" / "manifest.json").read_text()
    )
    code = manifest["segments"][0]["code"]
    assert {
        "rankone_plugin_additions.trainer",
        "rankone_plugin_additions.begin_alike",
    } <= code.keys()


def test_the_variant_and_the_benchmark_have_rows_in_the_tables(results):
    scores = pd.read_table(results / "tables" / "scores.tsv")
    found = set(zip(scores["variant"], scores["benchmark"], strict=True))
    assert {("2x_rank_opposed1", "tides"), ("base", "tides")} <= found


def test_the_claim_is_calibrated_and_tested(results):
    calibration = pd.read_table(results / "calibration" / "missing.tsv")
    rates = calibration[calibration["claim"] == "training_helps"]
    assert rates["n"].tolist() == [200, 20, 20]
    claims = pd.read_table(results / "claims.tsv").set_index("claim")
    assert claims.loc["training_helps", "margin"] == 0.05


def test_figure_claim_and_variant_are_on_the_page(results):
    page = (results / "report.html").read_text()
    assert "Accuracies in the order of the table." in page
    assert "Training raises held-out accuracy" in page
    assert "2 x opposite of rank 1" in page
    assert (results / "figures" / "accuracies_in_order.svg").exists()
