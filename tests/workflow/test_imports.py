"""The real workflow on imported checkpoints: whole weights and LoRA adapters."""

import json

import pandas as pd
import pytest
import torch
import yaml
from safetensors.torch import load_file

import tiny
from rankone.files import sha256
from running import output, planned, snakemake
from saved import save_adapter

STEPS = [10, 40]
EXACT = {"domain": "mathematics", "metric": "exact_match"}


def save_trajectory(folder):
    """The tiny model after more and more random changes, as bfloat16 shards."""
    model, sources = tiny.make_model(), {}
    for step in STEPS:
        with torch.no_grad():
            for weight in model.parameters():
                weight.add_(torch.randn_like(weight), alpha=0.02)
        sources[step] = str(folder / f"step-{step}")
        model.to(torch.bfloat16).save_pretrained(sources[step], max_shard_size="20KB")
        model.float()
    return sources


def save_adapters(folder):
    """The tiny model with LoRA factors, scaled otherwise at every step."""
    sources = {step: str(folder / f"adapter-{step}") for step in (10, 20)}
    for step, path in sources.items():
        save_adapter(path, base="model", lora_alpha=step)
    return sources


def save_imports(folder, **changes):
    """A study of imported arms alone."""
    study = tiny.study(folder)
    for key in ("schedule", "probes"):
        del study[key]
    study["grpo"] = {"max_completion_length": 4}
    study["arms"] = {
        "whole": {"import": {"steps": save_trajectory(folder)}},
        "adapter": {"import": {"steps": save_adapters(folder)}},
    }
    study["variants"] = ["full", "rank1"]
    tasks = ("problems_held_out", "weather")
    study["benchmarks"] = {name: study["benchmarks"][name] for name in tasks}
    study["analyze"] |= {"parts": ["trajectories"]}
    tiny.save_study(folder)
    (folder / "config.yaml").write_text(
        yaml.safe_dump(study | changes, sort_keys=False)
    )


def given(folder):
    """Hashes of the files that a user gave."""
    files = [f for name in ("step", "adapter") for f in folder.glob(f"{name}-*/*")]
    assert len(files) > 10
    return {str(file): sha256(file) for file in files}


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """The folder of a study that only imports, from its base to its report."""
    folder = tmp_path_factory.mktemp("imports")
    save_imports(folder, checkpoints="temp")
    before = given(folder)
    run = snakemake(folder)
    assert run.returncode == 0, output(run)[-5000:]
    assert given(folder) == before
    return folder


def test_imported_and_trained_runs_are_planned_in_one_study(tmp_path):
    save_imports(tmp_path)
    study = yaml.safe_load((tmp_path / "config.yaml").read_text())
    arms = tiny.study(tmp_path)["arms"] | study["arms"]
    mixed = tiny.study(tmp_path) | {"arms": arms}
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(mixed, sort_keys=False))
    jobs = planned(snakemake(tmp_path, "-n", "--quiet", "reason"))
    expected = {"train": 2, "import_checkpoint": 4, "decompose": 3 + 4, "evaluate": 8}
    expected |= {"sample": 5, "trajectory": 4, "tails": 4, "anatomy": 3}
    assert {name: jobs[name] for name in expected} == expected
    assert "plot_training" in jobs and "download_checkpoint" not in jobs


def test_a_hub_source_is_downloaded_by_a_job_of_its_own(tmp_path):
    steps = {1: "org/model@step_1", 2: "org/model@step_2"}
    save_imports(tmp_path, arms={"far": {"import": {"steps": steps}}})
    jobs = planned(snakemake(tmp_path, "-n", "--quiet", "reason"))
    assert jobs["download_checkpoint"] == jobs["import_checkpoint"] == 2


def test_a_study_that_only_imports_ends_with_a_report_that_says_so(done):
    page = (done / "results/report.html").read_text()
    assert "All runs were imported" in page
    assert "All runs were imported" in (done / "results/headline.txt").read_text()
    assert not (done / "results/tables/training.tsv").exists()
    assert not (done / "results/figures/training.svg").exists()
    record = json.loads((done / "results/provenance.json").read_text())
    assert record["imported"]["adapter-seed0"]["20"] == str(done / "adapter-20")


def test_every_imported_step_is_decomposed_and_benchmarked(done):
    scores = pd.read_csv(done / "results/tables/scores.tsv", sep="\t")
    found = scores[scores["run"] == "whole-seed0"]
    assert sorted(found["step"].unique()) == STEPS
    assert set(scores.loc[scores["run"] == "adapter-seed0", "step"]) == {10, 20}
    last = found[found["step"] == 40]
    assert set(last["variant"]) == {"full", "rank1"}


def test_the_updates_are_those_of_the_given_weights(done):
    base = load_file(done / "model/model.safetensors")
    matrices = pd.read_parquet(
        done / "results/decompose/whole-seed0/step-40.matrices.parquet"
    )
    trained = {}
    for file in (done / "step-40").glob("*.safetensors"):
        trained |= load_file(file)
    for row in matrices.itertuples():
        update = trained[row.tensor].float() - base[row.tensor]
        assert row.frobenius_norm == pytest.approx(update.norm().item(), rel=1e-5)


def test_an_adapters_updates_keep_their_rank(done):
    spectra = pd.read_parquet(
        done / "results/decompose/adapter-seed0/step-20.spectra.parquet"
    )
    assert spectra["sigma"].max() > 0
    assert (spectra.loc[spectra["index"] > 3, "sigma"] == 0).all()


def test_trajectories_of_imported_runs_are_compared(done):
    pairs = pd.read_parquet(done / "results/tables/alignment_pairs.parquet")
    assert set(pairs["run"]) == {"whole-seed0", "adapter-seed0"}
    assert {"adjacent", "to_final"} <= set(pairs["kind"])


def test_temporary_checkpoints_are_gone_and_not_made_again(done):
    assert not list(done.glob("results/train/*/checkpoints/*"))
    assert "Nothing to be done" in output(snakemake(done))


def test_what_does_not_fit_is_refused_before_any_job(tmp_path):
    save_imports(tmp_path)
    for file in (tmp_path / "step-10").glob("*.safetensors"):
        file.rename(file.with_suffix(".bin"))
    run = snakemake(tmp_path)
    assert run.returncode != 0
    assert "arms.whole.import, step 10: " in output(run)
    assert not (tmp_path / "results").exists()
