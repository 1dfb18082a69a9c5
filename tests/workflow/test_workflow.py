"""The real workflow on a tiny model: from training to the report, and after a kill."""

import json
import os
import shutil
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
from running import SNAKEMAKE, command, output, planned, snakemake

STEPS = [4, 8]


@pytest.fixture(scope="module")
def done(tmp_path_factory) -> Path:
    """The folder of a study that has run from its base model to its report."""
    folder = tmp_path_factory.mktemp("study")
    tiny.save_study(folder)
    run = snakemake(folder)
    assert run.returncode == 0, output(run)[-5000:]
    return folder


def test_the_embedded_study_is_planned_whole(tmp_path):
    shutil.copy(ROOT / "config" / "config.yaml", tmp_path)
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


@pytest.mark.parametrize("profile", ["slurm", "profiles/slurm", "profiles/local"])
def test_a_profile_is_found_by_its_name(profile):
    run = subprocess.run(
        [*SNAKEMAKE, "--profile", profile, "-n"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, output(run)


def test_lint_and_format_are_clean():
    tools = Path(sys.executable).parent
    for check in (
        [*SNAKEMAKE, "--lint"],
        [tools / "snakefmt", "--check", "Snakefile", "workflow/rules"],
        [tools / "ruff", "check"],
        [tools / "ruff", "format", "--check"],
    ):
        run = subprocess.run(check, cwd=ROOT, capture_output=True, text=True)
        assert run.returncode == 0, output(run)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"benchmark": {}}, "'benchmark' was unexpected"),
        ({"variants": ["full", "rank_1"]}, "'rank_1' is unknown"),
        ({"model": {"path": "nowhere"}}, "nowhere has no config.json"),
    ],
)
def test_a_wrong_config_is_refused_before_any_job(tmp_path, change, sentence):
    tiny.save_study(tmp_path, **change)
    run = snakemake(tmp_path)
    assert run.returncode != 0 and sentence in output(run)
    assert not (tmp_path / "results").exists()


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


def test_temporary_checkpoints_give_the_same_tables_and_leave_no_bytes(done, tmp_path):
    study = tiny.study(done) | {"checkpoints": "temp"}
    study["analyze"] = study["analyze"] | {"parts": ["trajectories"]}
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(study))
    shutil.copytree(done / "state", tmp_path / "state")
    first = "results/decompose/full-seed0/step-8.factors.safetensors"
    assert snakemake(tmp_path, first).returncode == 0
    # Nothing else was asked for: the file is gone, and training would be lost with it.
    exported = tmp_path / "results/train/full-seed0/checkpoints/step-8.safetensors"
    assert not exported.exists()
    runs = [path.name for path in (done / "results/train").iterdir()]
    targets = ["results/claims.tsv", *(f"results/train/{r}/released" for r in runs)]
    run = snakemake(tmp_path, *targets)
    assert run.returncode == 0, output(run)[-5000:]
    # Published from its state.
    assert "step 1 of 8" not in (tmp_path / "logs/train/full-seed0.log").read_text()
    assert not list(tmp_path.glob("results/train/*/checkpoints/*"))
    assert not list(tmp_path.glob("state/*/exports"))
    tables = sorted(tmp_path.glob("results/tables/*.tsv"))
    assert {"recovery.tsv", "trajectory.tsv"} <= {table.name for table in tables}
    for table in tables:
        assert (done / "results/tables" / table.name).read_bytes() == table.read_bytes()
    assert "Nothing to be done" in output(snakemake(tmp_path, *targets))


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
    folder = tmp_path / "copy"
    shutil.copytree(done, folder)
    path = folder / "results/train/full-seed0/checkpoints/step-8.safetensors"
    path.unlink()
    path.write_bytes(b"cut off")
    run = snakemake(folder, "results/decompose/full-seed0/step-8.factors.safetensors")
    assert run.returncode != 0
    assert "step-8.safetensors is not a readable safetensors file" in output(run)


def test_trainer_state_is_cleared_once_published(done):
    assert not list((done / "state/full-seed0").glob("checkpoint-*"))


def kill_during_training(folder: Path, after: int, number: int, kill=os.killpg) -> None:
    """Start training; once `after` steps are saved kill all of it, or what `kill` does.

    `kill` takes the id of Snakemake's process, which leads a group, and a signal.
    """
    target = "results/train/full-seed0/metrics.tsv"
    run = subprocess.Popen(
        command(folder, target),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    saved = folder / f"state/full-seed0/checkpoint-{after}/trainer_state.json"
    deadline = time.monotonic() + 120
    while not saved.exists() and run.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)
    assert saved.exists(), "training ended before it could be killed"
    kill(run.pid, number)
    run.wait()


def test_a_killed_training_ends_with_the_same_weights(done, tmp_path):
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(tiny.study(done)))
    kill_during_training(tmp_path, 1, signal.SIGKILL)
    assert not (tmp_path / "results/train/full-seed0/metrics.tsv").exists()
    run = snakemake(tmp_path, "results/train/full-seed0/metrics.tsv")
    assert run.returncode == 0, output(run)[-3000:]
    assert "going on from checkpoint-" in output(run)
    for step in STEPS:
        name = f"results/train/full-seed0/checkpoints/step-{step}.safetensors"
        undisturbed, resumed = load_file(done / name), load_file(tmp_path / name)
        assert all((undisturbed[key] == resumed[key]).all() for key in undisturbed)


def test_a_terminated_training_saves_says_so_and_goes_on(done, tmp_path):
    schedule = {"max_steps": 100, "export_steps": [100], "save_steps": 1}
    study = tiny.study(done) | {"schedule": schedule}
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(study))
    kill_during_training(tmp_path, 1, signal.SIGTERM)
    log = (tmp_path / "logs/train/full-seed0.log").read_text()
    assert "stopped by a signal at step" in log
    assert not (tmp_path / "results/train/full-seed0/metrics.tsv").exists()
    run = snakemake(tmp_path, "results/train/full-seed0/metrics.tsv")
    assert run.returncode == 0, output(run)[-3000:]
    assert "going on from checkpoint-" in output(run)
    metrics = pd.read_csv(tmp_path / "results/train/full-seed0/metrics.tsv", sep="\t")
    assert metrics["step"].tolist() == list(range(1, 101))


def test_a_training_that_a_killed_snakemake_left_is_waited_for(done, tmp_path):
    schedule = {"max_steps": 100, "export_steps": [100], "save_steps": 1}
    study = tiny.study(done) | {"schedule": schedule}
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(study))
    kill_during_training(tmp_path, 1, signal.SIGKILL, os.kill)
    left = json.loads((tmp_path / "state/full-seed0.lease").read_text())["pid"]
    os.kill(left, signal.SIGSTOP)
    metrics = "results/train/full-seed0/metrics.tsv"
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    run = subprocess.Popen(command(tmp_path, metrics), **pipes)
    said = f"The state of run full-seed0 is in use by process {left} on"
    assert any(said in line for line in run.stdout)
    os.kill(left, signal.SIGCONT)
    text, _ = run.communicate(timeout=300)
    assert run.returncode == 0 and "step 100 of 100" not in text, text[-3000:]
    table = pd.read_csv(tmp_path / metrics, sep="\t")
    assert table["step"].tolist() == list(range(1, 101))
