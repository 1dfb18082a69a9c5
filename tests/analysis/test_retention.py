"""What is retained, damaged or forgotten is what was planted."""

import math

import numpy as np
import pandas as pd
import pytest

from rankone.analysis.forgetting import (
    CURVE_COLUMNS,
    FORGETTING_COLUMNS,
    RESIDUAL_COLUMNS,
    forgetting_curve,
    forgetting_points,
    forgetting_tables,
)
from rankone.analysis.retention import (
    RETENTION_COLUMNS,
    benefit_and_damage,
    retention_table,
)
from rankone.errors import UserError
from rankone.statistics.equivalence import (
    DAMAGED,
    IMPROVED,
    RETAINED,
    UNDETERMINED,
    equivalence,
)
from rankone.statistics.intervals import Sample, bootstrap

BASE, VARIANT = 0, 1
MARGIN = 0.05
STUDIES = 400


def tolerance(share):
    """Four standard errors of a share that was counted in the studies."""
    return 4 * np.sqrt(share * (1 - share) / STUDIES)


def rng(seed=0):
    return np.random.default_rng(seed)


def scores(seed, items, difference, disagreeing=0.2):
    """Paired 0/1 scores (1, 2, items); the variant's true rate is shifted."""
    generator = rng(seed)
    base = generator.random(items) < 0.5
    lost = (disagreeing - difference) / 2
    gained = (disagreeing + difference) / 2
    # The rates are halves, so conditional rates are twice the joint ones.
    flip = generator.random(items) < np.where(base, 2 * lost, 2 * gained)
    return np.stack([base, base ^ flip])[None].astype(float)


def verdict(seed, items, difference, margin=MARGIN, draws=800):
    sample = bootstrap([scores(seed, items, difference)], rng(seed), draws)
    return equivalence(sample, VARIANT, BASE, margin).verdict


def share(word, items, difference):
    """Share of simulated studies with this verdict."""
    found = [verdict(s, items, difference, draws=300) for s in range(STUDIES)]
    return np.mean([v == word for v in found])


def test_no_difference_on_many_items_is_retained():
    assert verdict(0, 4000, 0.0) == RETAINED


def test_a_planted_loss_is_damage_and_a_planted_gain_improvement():
    assert verdict(0, 2000, -0.12) == DAMAGED
    assert verdict(0, 2000, 0.12) == IMPROVED


@pytest.mark.parametrize("seed", range(5))
def test_few_items_are_undetermined(seed):
    assert verdict(seed, 12, 0.0) == UNDETERMINED


def test_few_items_that_all_agree_are_undetermined_too():
    same = np.ones((1, 2, 20))
    found = equivalence(bootstrap([same], rng(), 200), VARIANT, BASE, MARGIN)
    assert found.verdict == UNDETERMINED


def test_a_clear_but_small_loss_is_retained_and_the_rule_says_so():
    sample = bootstrap([scores(0, 20_000, -0.02)], rng())
    found = equivalence(sample, VARIANT, BASE, MARGIN)
    assert found.verdict == RETAINED
    assert found.difference.high < 0
    assert "below zero" in found.rule
    assert equivalence(sample, VARIANT, BASE, 0.001).verdict == DAMAGED


@pytest.mark.parametrize("items", [60, 400])
def test_no_change_is_called_damage_in_at_most_five_percent(items):
    assert share(DAMAGED, items, 0.0) < 0.05 + tolerance(0.05)


def test_a_loss_of_the_margin_is_called_retained_in_at_most_five_percent():
    assert share(RETAINED, 1500, -MARGIN) < 0.05 + tolerance(0.05)


def test_the_interval_of_two_one_sided_tests_is_the_narrower_one():
    for items in (20, 500):
        sample = bootstrap([scores(1, items, 0.0)], rng())
        found = equivalence(sample, VARIANT, BASE, MARGIN)
        assert found.estimate.value == found.difference.value
        widths = [e.high - e.low for e in (found.estimate, found.difference)]
        assert widths[0] == pytest.approx(1.645 / 1.96 * widths[1], rel=0.12)


def test_direction_is_variant_minus_reference():
    sample = bootstrap([scores(0, 2000, -0.12)], rng())
    forth = equivalence(sample, VARIANT, BASE, MARGIN)
    back = equivalence(sample, BASE, VARIANT, MARGIN)
    assert (forth.verdict, back.verdict) == (DAMAGED, IMPROVED)
    assert forth.estimate.value == pytest.approx(-back.estimate.value)


@pytest.mark.parametrize("margin", [0.0, -0.1, 1.5, math.nan])
def test_a_margin_must_be_above_zero(margin):
    sample = bootstrap([scores(0, 50, 0.0)], rng(), 50)
    with pytest.raises(UserError, match="margin"):
        equivalence(sample, VARIANT, BASE, margin)


def test_gained_and_lost_items_are_counted():
    base = np.repeat([0, 1, 0, 1], [9, 1, 50, 40])
    variant = np.repeat([1, 0, 0, 1], [9, 1, 50, 40])
    found = benefit_and_damage(base, variant)
    assert (found.gained.value, found.lost.value, found.n) == (0.09, 0.01, 100)
    assert found.p == pytest.approx(22 / 1024)
    assert found.lost.low < 0.01 < found.lost.high


def test_equal_means_can_hide_damage():
    base, variant = np.repeat([0, 1], 50), np.repeat([1, 0], 50)
    found = benefit_and_damage(base, variant)
    assert found.lost.low > 0.3 and found.gained.low > 0.3
    assert found.p == 1


def test_items_must_be_paired():
    with pytest.raises(ValueError, match="paired"):
        benefit_and_damage([0, 1], [0, 1, 1])


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


ARMS = {"full": None, "prs": "rank1"}
BENCHMARKS = {"facts": "knowledge", "science": "knowledge", "sums": "mathematics"}
LOSSES = {"full": 0.2, "rank1": 0.05, "shrunk": 0.1}


def item_rows(run, variant, losses, count=200):
    """Items of every benchmark; of knowledge a share of the solved ones is lost."""
    frames = []
    for name, domain in BENCHMARKS.items():
        loss = losses if domain == "knowledge" else 0.0
        score = (np.arange(count) < count * (0.7 - loss)).astype(float)
        frame = pd.DataFrame({"item": [f"{name}-{i}" for i in range(count)]})
        frames.append(frame.assign(benchmark=name, domain=domain, score=score))
    return pd.concat(frames).assign(run=run, variant=variant, step=4 * (run != "base"))


def items_of(runs=("full-seed0",), losses=LOSSES, prs=("prs-seed0",), prs_loss=0.15):
    frames = [item_rows("base", "base", 0.0)]
    frames += [item_rows(run, v, loss) for run in runs for v, loss in losses.items()]
    frames += [item_rows(run, "full", prs_loss + 0.1 * i) for i, run in enumerate(prs)]
    return pd.concat(frames, ignore_index=True)


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


def test_every_benchmark_and_domain_has_a_verdict():
    found = retention_table(items_of(), ARMS, 0.05, seed=0, draws=300)
    assert list(found.columns) == RETENTION_COLUMNS
    found = found.set_index(["arm", "run", "benchmark", "domain", "variant"])
    assert len(found) == 2 * (3 + 1) * (3 + 2)
    mean = found.loc["full", "full-seed0", "mean", "knowledge", "full"]
    assert mean["difference"] == pytest.approx(-0.2)
    assert mean["verdict"] == DAMAGED
    assert (mean["gained"], mean["lost"], mean["p"] < 1e-9) == (0, 0.2, True)
    assert mean["low"] < mean["low_90"] < mean["difference"] < mean["high_90"]
    kept = found.loc["full", "full-seed0", "mean", "mathematics"]
    assert (kept["verdict"] == RETAINED).all()
    assert set(found.loc["prs", "recipe"]) == {"rank1"}


def test_items_are_not_counted_over_several_runs():
    items = items_of(prs=("prs-seed0", "prs-seed1"))
    found = retention_table(items, ARMS, 0.05, seed=0, draws=100)
    several = found["runs"] > 1
    assert several.any()
    columns = ["gained", "lost", "p"]
    assert found.loc[several, columns].isna().all(axis=None)
    assert found.loc[~several, columns].notna().all(axis=None)


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
