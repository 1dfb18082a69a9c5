"""Tables say what was planted, and refuse items that do not pair."""

import numpy as np
import pandas as pd
import pytest

from rankone.analysis.scores import read_items, score_tables, spectra_table
from rankone.errors import UserError
from rankone.tables_io import concatenate, read_table, write_table
from synthetic import ITEMS, KEPT, write_evaluations, write_tables

RUNS, STEPS = ("full-seed0", "full-seed1"), (2, 4)


@pytest.fixture(scope="module")
def tables(tmp_path_factory):
    folder = write_tables(tmp_path_factory.mktemp("study"), RUNS, STEPS)
    return {path.stem: read_table(path) for path in folder.iterdir()}


@pytest.fixture
def evaluations(tmp_path):
    return write_evaluations(tmp_path, RUNS, STEPS)


def change(path, edit):
    """Rewrite an item file after `edit`."""
    edit(pd.read_parquet(path)).to_parquet(path, index=False)
    return path


def cell(table, run, step, variant, benchmark, domain="mathematics"):
    rows = table[
        (table["run"] == run)
        & (table["step"] == step)
        & (table["variant"] == variant)
        & (table["benchmark"] == benchmark)
        & (table["domain"] == domain)
    ]
    assert len(rows) == 1
    return rows.iloc[0]


@pytest.mark.parametrize("run", ["full-seed0", "full-seed1", "all"])
@pytest.mark.parametrize("variant", sorted(set(KEPT) - {"full"}))
def test_recovery_is_the_planted_share(tables, run, variant):
    row = cell(tables["recovery"], run, 4, variant, "problems_held_out")
    assert row["recovery"] == pytest.approx(KEPT[variant])
    assert row["low"] < row["recovery"] < row["high"]
    assert row["gain"] == pytest.approx(0.4)


def test_recovery_of_a_benchmark_without_gain_has_a_status_and_no_number(tables):
    row = cell(tables["recovery"], "all", 4, "rank1", "unit_conversion")
    assert row["status"] == "gain not distinguishable from zero"
    assert row[["recovery", "low", "high"]].isna().all()


def test_training_problems_stay_out_of_the_domain_mean(tables):
    row = cell(tables["scores"], "all", 4, "full", "mean")
    assert row["score"] == pytest.approx((0.7 + 0.3 + 0.5) / 3)
    assert row["n"] == 3 * ITEMS


def test_every_score_lies_in_its_interval_and_says_its_sample_size(tables):
    for name, value in (("scores", "score"), ("differences", "difference")):
        table = tables[name]
        inside = (table["low"] <= table[value]) & (table[value] <= table["high"])
        assert inside.all()
        assert (table["n"] >= ITEMS).all()
        assert set(table.loc[table["run"] == "all", "runs"]) == {len(RUNS)}


def test_base_has_its_own_rows_and_no_difference(tables):
    row = cell(tables["scores"], "base", 0, "base", "wikidata_facts", "knowledge")
    assert row["score"] == pytest.approx(0.6)
    assert "base" not in set(tables["differences"]["variant"])


def test_training_table_starts_each_run_at_the_base(tables):
    table = tables["training"].set_index(["run", "quantity", "step"])["value"]
    for run in RUNS:
        assert table[run, "problems_held_out", 0] == pytest.approx(0.3)
        assert table[run, "problems_held_out", 2] == pytest.approx(0.5)
        assert table[run, "reward", 4] == pytest.approx(0.8)


def test_spectra_carry_norm_and_shape(tables):
    spectra = tables["spectra"]
    squares = np.square(spectra["sigma"] / spectra["frobenius_norm"])
    totals = squares.groupby([spectra["run"], spectra["step"], spectra["tensor"]]).sum()
    assert np.allclose(totals, 1)
    assert {"rows", "columns"} <= set(spectra.columns)


def test_spectra_of_an_unknown_tensor_are_refused(tables):
    with pytest.raises(UserError, match=r"layers\.0\.q_proj"):
        spectra_table(
            tables["spectra"].drop(columns=["rows", "columns", "frobenius_norm"]),
            tables["matrices"][lambda t: t["tensor"] != "layers.0.q_proj.weight"],
        )


def test_same_seed_same_tables_whatever_the_order_of_files(evaluations):
    first = score_tables(read_items(evaluations), 1, draws=200)
    second = score_tables(read_items(evaluations[::-1]), 1, draws=200)
    for name in first:
        pd.testing.assert_frame_equal(first[name], second[name])


def test_order_of_rows_in_a_file_does_not_matter(evaluations):
    before = score_tables(read_items(evaluations), 1, draws=200)["recovery"]
    change(evaluations[-1], lambda items: items.sample(frac=1, random_state=0))
    after = score_tables(read_items(evaluations), 1, draws=200)["recovery"]
    pd.testing.assert_frame_equal(before, after)


def test_step_that_not_all_runs_have_is_not_pooled(evaluations):
    table = score_tables(read_items(evaluations[:-1]), 1, draws=200)["scores"]
    assert set(table.loc[table["run"] == "all", "step"]) == {2}


def test_benchmark_left_out_at_a_step_leaves_out_the_mean(evaluations):
    change(evaluations[1], lambda t: t[t["benchmark"] != "problems_shifted"])
    table = score_tables(read_items(evaluations), 1, draws=200)["scores"]
    rows = table[(table["run"] == "full-seed0") & (table["step"] == 2)]
    assert set(rows.loc[rows["benchmark"] == "mean", "domain"]) == {"knowledge"}


@pytest.mark.parametrize(
    ("edit", "words"),
    [
        (lambda t: t.iloc[1:], "not the base's"),
        (lambda t: pd.concat([t, t.iloc[:3]]), "3 item ids occur twice"),
        (lambda t: t.assign(score=np.nan), "score nan"),
        (lambda t: t.assign(score=2.0), "score 2.0"),
        (lambda t: t.assign(benchmark="other"), "other"),
        (lambda t: t.drop(columns="item"), "lacks the columns item"),
    ],
)
def test_bad_item_file_is_refused_by_name(evaluations, edit, words):
    path = evaluations[1]
    change(path, lambda t: edit(t[t["variant"] == "full"]))
    with pytest.raises(UserError, match=words) as caught:
        read_items(evaluations)
    assert str(path) in str(caught.value)


def test_missing_base_is_refused(evaluations):
    with pytest.raises(UserError, match="`base`"):
        read_items(evaluations[1:])


@pytest.mark.parametrize("name", ["broken.parquet", "broken.tsv"])
def test_unreadable_table_is_named(tmp_path, name):
    (tmp_path / name).write_bytes(b"")
    with pytest.raises(UserError, match=name):
        read_table(tmp_path / name)


def test_metrics_without_steps_are_refused(tmp_path):
    path = tmp_path / "metrics.tsv"
    write_table(pd.DataFrame({"run": ["a"], "reward": [1.0]}), path)
    with pytest.raises(UserError, match=r"metrics\.tsv lacks the columns step"):
        concatenate([path], ["run", "step"])
