"""What is forgotten is what was planted, and a curve through the KL is found."""

import math

import numpy as np
import pandas as pd
import pytest

from knowledge import ARMS, items_of
from rankone.analysis.forgetting import (
    CURVE_COLUMNS,
    FORGETTING_COLUMNS,
    RESIDUAL_COLUMNS,
    forgetting_curve,
    forgetting_points,
    forgetting_tables,
)
from rankone.errors import UserError
from rankone.statistics.intervals import Sample, bootstrap

STUDIES = 400


def tolerance(share):
    """Four standard errors of a share that was counted in the studies."""
    return 4 * np.sqrt(share * (1 - share) / STUDIES)


def rng(seed=0):
    return np.random.default_rng(seed)


NAMES = ["base", "full", "rank1", "shrunk", "rank4", "without_rank1"]
KL = np.array([0.0, 1.0, 0.4, 0.2, 0.8, 0.6])


def sample_of(seed, items, forgetting, draws=400):
    """Scores of the base and variants with these true losses, as a sample."""
    generator = rng(seed)
    ease, luck = generator.random(items), 0.15 * generator.random((len(NAMES), items))
    right = ease + luck < 0.7 - np.asarray(forgetting)[:, None]
    return bootstrap([right[None].astype(float)], generator, draws)


def curve(kl):
    return 0.05 * kl + 0.1 * kl**2


def test_a_planted_curve_is_recovered():
    points = forgetting_points(sample_of(0, 40_000, curve(KL)), NAMES, KL)
    found = forgetting_curve(points)
    assert found.linear.low < 0.05 < found.linear.high
    assert found.quadratic.low < 0.1 < found.quadratic.high
    assert found.r2 > 0.98 and found.r2_out > 0.95
    band = found.band
    assert (band["low"] <= curve(band["kl"]) + 1e-9).mean() > 0.9
    assert (curve(band["kl"]) <= band["high"] + 1e-9).mean() > 0.9
    assert band.iloc[0][["kl", "value", "low", "high"]].tolist() == [0, 0, 0, 0]


def test_exact_points_have_no_residuals():
    loss = curve(KL)
    exact = Sample(0.7 - loss, np.tile(0.7 - loss, (50, 1)), 0.0)
    found = forgetting_curve(forgetting_points(exact, NAMES, KL))
    assert (found.linear.value, found.quadratic.value) == pytest.approx((0.05, 0.1))
    assert found.residuals[["residual", "excess"]].abs().to_numpy().max() < 1e-12
    assert list(found.residuals.columns) == RESIDUAL_COLUMNS
    assert found.residuals["variant"].tolist() == NAMES[1:]
    assert found.r2 == pytest.approx(1)


def test_the_band_reaches_the_largest_kl_in_its_own_units():
    loss = curve(KL)
    exact = Sample(0.7 - loss, np.tile(0.7 - loss, (50, 1)), 0.0)
    band = forgetting_curve(forgetting_points(exact, NAMES, 10 * KL)).band
    assert band["kl"].max() == 10
    assert band["value"].to_numpy() == pytest.approx(curve(band["kl"] / 10).to_numpy())


def test_excess_is_against_the_curve_of_the_other_variants():
    loss = curve(KL) + np.array([0, 0, -0.04, 0, 0, 0])
    points = forgetting_points(sample_of(0, 4000, loss), NAMES, KL)
    row = forgetting_curve(points).residuals.set_index("variant").loc["rank1"]
    others = [0, 2, 3, 4]
    design = np.stack([points.kl, points.kl**2], axis=1)
    fit, *_ = np.linalg.lstsq(design[others], points.forgetting[others], rcond=None)
    assert row["excess"] == pytest.approx(points.forgetting[1] - design[1] @ fit)
    assert row["excess_high"] < 0
    assert not row["extrapolated"]


def test_a_variant_on_the_curve_forgets_less_in_at_most_five_percent():
    low = high = 0
    for seed in range(STUDIES):
        sample = sample_of(seed, 300, curve(KL), draws=200)
        found = forgetting_curve(forgetting_points(sample, NAMES, KL)).residuals
        row = found[found["variant"] == "rank1"].iloc[0]
        low, high = low + (row["excess_high"] < 0), high + (row["excess_low"] > 0)
    assert (low + high) / STUDIES < 0.05 + tolerance(0.05)
    assert low + high > 0


def test_the_variant_with_the_largest_kl_is_marked_as_extrapolated():
    points = forgetting_points(sample_of(0, 400, curve(KL)), NAMES, KL)
    table = forgetting_curve(points).residuals
    assert table.loc[table["extrapolated"], "variant"].tolist() == ["full"]


def test_the_reference_may_stand_anywhere():
    sample = sample_of(0, 400, curve(KL))
    last = np.roll(np.arange(len(NAMES)), -1)
    moved = Sample(sample.observed[last], sample.draws[:, last], sample.floor)
    first = forgetting_curve(forgetting_points(sample, NAMES, KL))
    second = forgetting_curve(
        forgetting_points(moved, [NAMES[i] for i in last], KL[last], len(NAMES) - 1)
    )
    pd.testing.assert_frame_equal(first.residuals, second.residuals)


@pytest.mark.parametrize(
    "kl", [[0, 1, 1, 1, 1, 2], [0, 0, 0, 0, 0, 0], [0, 1, 2, math.nan, 3, 4]]
)
def test_a_curve_needs_three_different_kl(kl):
    points = forgetting_points(sample_of(0, 50, curve(KL), 20), NAMES, kl)
    with pytest.raises(UserError, match="KL"):
        forgetting_curve(points)


def test_every_variant_needs_a_kl():
    with pytest.raises(ValueError, match="same number"):
        forgetting_points(sample_of(0, 50, curve(KL), 20), NAMES, KL[1:])


def kl_rows(**values):
    """KL of all runs of an arm; `prs` is the arm of that name."""
    rows = [
        {"arm": "prs", "variant": "full"} if name == "prs" else {"variant": name}
        for name in values
    ]
    table = pd.DataFrame(rows).assign(run="all", kl=list(values.values()))
    table["arm"] = table.get("arm", pd.Series(dtype=object)).fillna("full")
    return table.assign(low=table["kl"] - 0.01, high=table["kl"] + 0.01, n=30, runs=1)


PLANTED = {"full": 2.0, "rank1": 0.5, "shrunk": 1.0, "prs": 1.5}


def test_forgetting_has_the_variants_of_all_arms_on_one_curve():
    tables = forgetting_tables(items_of(), kl_rows(**PLANTED), ARMS, 0, draws=300)
    found, band = tables["forgetting"], tables["forgetting_curve"]
    assert list(found.columns) == FORGETTING_COLUMNS
    assert list(band.columns) == CURVE_COLUMNS
    found = found.set_index(["arm", "variant"])
    # A tenth of the KL in each: on the line.
    assert (found["forgetting"] / found["kl"]).to_numpy() == pytest.approx(0.1)
    assert found["residual"].to_numpy() == pytest.approx(0, abs=1e-9)
    assert (found["low"] < found["forgetting"]).all()
    assert (found["n"] == 400).all() and (found["runs"] == 1).all()
    assert found.loc[("prs", "full"), "recipe"] == "rank1"
    assert found["kl_high"].to_numpy() == pytest.approx(found["kl"] + 0.01)
    assert band["kl"].max() == 2
    assert (band["r2"] == band["r2"].iloc[0]).all() and band["r2"].iloc[0] > 0.99


def test_a_variant_that_forgets_less_at_its_kl_is_below_the_curve():
    items = items_of(losses={"full": 0.2, "rank1": 0.05, "shrunk": 0.02})
    tables = forgetting_tables(items, kl_rows(**PLANTED), ARMS, 0, draws=300)
    row = tables["forgetting"].set_index("variant").loc["shrunk"]
    assert row["excess_high"] < 0


def test_runs_that_disagree_widen_their_arms_interval():
    widths = []
    for prs in (("prs-seed0",), ("prs-seed0", "prs-seed1", "prs-seed2")):
        tables = forgetting_tables(
            items_of(prs=prs), kl_rows(**PLANTED), ARMS, 0, draws=500
        )
        row = tables["forgetting"].set_index(["arm", "variant"]).loc[("prs", "full")]
        assert row["runs"] == len(prs)
        assert row["forgetting"] == pytest.approx(0.15 + 0.05 * (len(prs) - 1))
        widths.append(row["high"] - row["low"])
    assert widths[1] > 1.5 * widths[0]


@pytest.mark.parametrize(
    "kl",
    [
        {"full": 2.0, "rank1": 0.5},
        {"full": 2.0, "rank1": 0.5, "shrunk": 0.5},
        {"full": 2.0, "rank1": 0.5, "shrunk": 0.0},
        {"full": 2.0, "rank4": 0.5, "rank16": 1.0},
    ],
)
def test_too_few_variants_make_empty_tables_with_their_columns(kl):
    tables = forgetting_tables(items_of(), kl_rows(**kl), ARMS, 0, draws=50)
    assert tables["forgetting"].empty and tables["forgetting_curve"].empty
    assert list(tables["forgetting"].columns) == FORGETTING_COLUMNS
    assert list(tables["forgetting_curve"].columns) == CURVE_COLUMNS


def test_a_study_without_knowledge_has_no_forgetting():
    items = items_of()[lambda table: table["domain"] == "mathematics"]
    tables = forgetting_tables(items, kl_rows(**PLANTED), ARMS, 0, draws=50)
    assert tables["forgetting"].empty
