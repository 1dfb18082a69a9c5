"""The real workflow on a tiny model, from training to the report: one study for all."""

import json
import shutil
from pathlib import Path

import pandas as pd
import pytest
import yaml
from safetensors.torch import load_file

import tiny
from running import output, snakemake

STEPS = [4, 8]


@pytest.fixture(scope="module")
def done(tmp_path_factory) -> Path:
    """The folder of a study that has run from its base model to its report."""
    folder = tmp_path_factory.mktemp("study")
    tiny.save_study(folder)
    run = snakemake(folder)
    assert run.returncode == 0, output(run)[-5000:]
    return folder


def test_metrics_have_one_row_a_step(done):
    metrics = pd.read_csv(done / "results/train/full-seed0/metrics.tsv", sep="\t")
    assert metrics["step"].tolist() == list(range(1, 9))
    assert metrics["tokens"].is_monotonic_increasing
    assert metrics["reward"].between(0, 1).all() and metrics["reward"].any()


def test_exports_are_float32_and_differ_from_the_base(done):
    base = load_file(done / "model/model.safetensors")
    folder = done / "results/train/full-seed0/checkpoints"
    for step in STEPS:
        weights = load_file(folder / f"step-{step}.safetensors")
        assert weights.keys() == base.keys()
        assert all(str(w.dtype) == "torch.float32" for w in weights.values())
        assert any((weights[name] != base[name]).any() for name in base)


def test_factors_add_up_to_the_update(done):
    base = load_file(done / "model/model.safetensors")
    trained = load_file(
        done / "results/train/full-seed0/checkpoints/step-8.safetensors"
    )
    factors = load_file(
        done / "results/decompose/full-seed0/step-8.factors.safetensors"
    )
    table = pd.read_parquet(
        done / "results/decompose/full-seed0/step-8.matrices.parquet"
    )
    spectra = pd.read_parquet(
        done / "results/decompose/full-seed0/step-8.spectra.parquet"
    )
    assert len(table) == 14
    for row in table.itertuples():
        update = trained[row.tensor] - base[row.tensor]
        assert row.frobenius_norm == pytest.approx(update.norm().item(), rel=1e-4)
        sigma = spectra.query("layer == @row.layer and module == @row.module")["sigma"]
        assert (sigma**2).sum() == pytest.approx(row.frobenius_norm**2, rel=1e-4)
        assert factors[f"{row.tensor}:sigma"][0] == pytest.approx(row.sigma_1)


def test_directions_are_those_of_the_update(done):
    from rankone.weights.factors import load_directions

    base = load_file(done / "model/model.safetensors")
    folder = done / "results/train/prs-seed0"
    kept = load_directions(folder / "directions.safetensors")
    # Exported at 4 and 8; measured before the substitutions at 3 and 6, too.
    assert list(kept) == [3, 4, 6, 8]
    trained = load_file(folder / "checkpoints/step-8.safetensors")
    assert len(kept[8]) == 14
    for name, factors in kept[8].items():
        update = trained[name] - base[name]
        assert factors.norm == pytest.approx(update.norm().item(), rel=1e-4)
        inside = factors.left[:, 0] @ update @ factors.right[0]
        assert inside == pytest.approx(factors.sigma.item(), rel=1e-3)


def test_the_steps_of_every_run_are_compared(done):
    tables = done / "results/tables"
    pairs = pd.read_parquet(tables / "alignment_pairs.parquet")
    assert set(pairs["run"]) == {"full-seed0", "prs-seed0"}
    assert {"adjacent", "further", "to_final", "across_layers"} <= set(pairs["kind"])
    known = pd.read_csv(tables / "trajectory.tsv", sep="\t")
    assert set(known["run"]) == {"full-seed0", "prs-seed0", "all"}
    share = known[known["statistic"] == "first_component_share"]
    assert (share["n"].isin([14]) & share["value"].between(0, 1)).all()


def test_every_variant_answers_the_items_of_the_base(done):
    base = pd.read_parquet(done / "results/evaluate/base/step-0.parquet")
    last = pd.read_parquet(done / "results/evaluate/full-seed0/step-8.parquet")
    assert set(last["variant"]) == set(tiny.study(done)["variants"])
    items = set(map(tuple, base[["benchmark", "item"]].values))
    assert len(items) == len(base) == 40 + 16 + 8 + 8
    for _, scores in last.groupby("variant"):
        assert set(map(tuple, scores[["benchmark", "item"]].values)) == items


def test_responses_are_kept_and_scored_by_the_verifier(done):
    from rankone.data.verifiers.integer import leading_integer

    scores = pd.read_parquet(done / "results/evaluate/base/step-0.parquet")
    scores = scores.query("benchmark == 'problems_held_out'")
    rows = (done / "results/prepare/problems/held_out.jsonl").read_text().splitlines()
    answers = {row["id"]: row["answer"] for row in map(json.loads, rows)}
    for row in scores.itertuples():
        assert row.score == (leading_integer(row.response) == answers[row.item])


def test_sampled_answers_are_judged_counted_and_likely_under_the_base(done):
    base = pd.read_parquet(done / "results/sample/base/step-0.parquet")
    last = pd.read_parquet(done / "results/sample/full-seed0/step-8.parquet")
    sizes = last.groupby(["variant", "problem"]).size()
    assert len(sizes) == 4 * 6 and (sizes == 8).all()
    assert (base["logp"] == base["base_logp"]).all()
    kl = pd.read_csv(done / "results/tables/kl.tsv", sep="\t").set_index("variant")
    assert kl.loc["base", "kl"] == 0
    assert (kl.drop("base")["kl"] > 0).all()
    curves = pd.read_csv(done / "results/tables/pass_at_k.tsv", sep="\t")
    first = curves[(curves["run"] == "base") & (curves["k"] == 1)]
    assert first["value"].item() == pytest.approx(base["correct"].mean(), rel=1e-4)


def test_knowledge_has_a_verdict_for_every_variant_and_arm(done):
    table = pd.read_csv(done / "results/tables/retention.tsv", sep="\t")
    assert set(table["variant"]) == set(tiny.study(done)["variants"])
    assert set(table["arm"]) == {"full", "prs"}
    assert table["verdict"].notna().all()


def test_the_report_is_one_page_without_outside_parts(done):
    page = (done / "results/report.html").read_text()
    assert 'src="http' not in page and 'href="http' not in page
    assert (done / "results/headline.txt").read_text().strip()
    for figure in ("training", "recovery", "rank1_share", "spectra", "pass_at_k"):
        assert (done / f"results/figures/{figure}.pdf").stat().st_size > 1000


def test_temporary_checkpoints_give_the_same_results_and_leave_no_bytes(done, tmp_path):
    study = tiny.study(done) | {"checkpoints": "temp"}
    study["analyze"] = study["analyze"] | {"parts": ["trajectories"]}
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(study))
    for made in ("state/prs-seed0", "results/prepare"):
        shutil.copytree(done / made, tmp_path / made)
    first = "results/decompose/prs-seed0/step-8.factors.safetensors"
    assert snakemake(tmp_path, first).returncode == 0
    # Nothing else was asked for: the file is gone, and training would be lost with it.
    exported = tmp_path / "results/train/prs-seed0/checkpoints/step-8.safetensors"
    assert not exported.exists()
    # Only the last step of this run is benchmarked: the other's weights go as well.
    released = "results/train/prs-seed0/released"
    run = snakemake(tmp_path, released)
    assert run.returncode == 0, output(run)[-5000:]
    # Published from its state.
    assert "step 1 of 8" not in (tmp_path / "logs/train/prs-seed0.log").read_text()
    assert not list(tmp_path.glob("results/train/*/checkpoints/*"))
    assert not list(tmp_path.glob("state/*/exports"))
    found = (tmp_path / "results").rglob("*.parquet")
    results = [path.relative_to(tmp_path) for path in found]
    made = {path.parts[1] for path in results}
    assert made >= {"train", "decompose", "evaluate", "trajectory"}
    for path in results:
        one, other = (pd.read_parquet(place / path) for place in (done, tmp_path))
        pd.testing.assert_frame_equal(one, other, check_exact=True)
    assert "Nothing to be done" in output(snakemake(tmp_path, released))


def test_a_second_run_does_nothing_and_says_so(done):
    assert "Nothing to be done" in output(snakemake(done))


def test_a_single_rule_runs_again_by_its_file(done):
    (done / "results/figures/recovery.svg").unlink()
    run = snakemake(done, "results/figures/recovery.svg")
    assert "1 of 1 steps" in output(run), output(run)


def test_snakemakes_own_report_works(done):
    run = snakemake(done, "--report", str(done / "snakemake.html"))
    assert run.returncode == 0, output(run)
    assert (done / "snakemake.html").stat().st_size > 100_000


def test_a_corrupt_checkpoint_is_refused_with_its_name(done, tmp_path):
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(tiny.study(done)))
    for made in ("prepare", "train/full-seed0"):
        shutil.copytree(done / "results" / made, tmp_path / "results" / made)
    path = tmp_path / "results/train/full-seed0/checkpoints/step-8.safetensors"
    path.unlink()
    path.write_bytes(b"cut off")
    run = snakemake(tmp_path, "results/decompose/full-seed0/step-8.factors.safetensors")
    assert run.returncode != 0
    assert "step-8.safetensors is not a readable safetensors file" in output(run)


def test_trainer_state_is_cleared_once_published(done):
    assert not list((done / "state/full-seed0").glob("checkpoint-*"))
