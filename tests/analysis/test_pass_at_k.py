"""pass@k is exact, planted crossings are found, and no change raises no alarm."""

import math
from fractions import Fraction
from itertools import combinations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom

from rankone.analysis.pass_at_k import (
    EFFICIENCY_COLUMNS,
    NULL_COLUMNS,
    PASS_COLUMNS,
    SOLVABLE_COLUMNS,
    crossings,
    efficiency_table,
    pass_at_k,
    pass_table,
    powers,
    resampled_null,
    solvable_sets,
)
from rankone.errors import UserError
from rankone.statistics.intervals import LEVEL

KS = [1, 2, 4, 8, 16]
STUDIES = 200
# Four standard errors of a share of 0.05 that was counted in 200 studies.
TOLERANCE = 4 * np.sqrt(LEVEL * (1 - LEVEL) / STUDIES)

counts_of = st.integers(1, 40).flatmap(
    lambda n: st.tuples(st.just(n), st.integers(0, n), st.integers(1, n))
)


def rows(run, variant, correct, samples):
    """Rows of one run and variant with these numbers of correct samples."""
    frame = pd.DataFrame({"correct": np.asarray(correct), "samples": samples})
    frame["problem"] = [f"p{i}" for i in range(len(frame))]
    return frame.assign(run=run, variant=variant)


def table(base, *variants, samples=16, run="full-seed0"):
    """Counts of the base and of the variants `full`, `rank1`, ... of one run."""
    names = ("full", "rank1", "shrunk")
    parts = [rows("base", "base", base, samples)]
    for name, found in zip(names, variants, strict=False):
        parts.append(rows(run, name, found, samples))
    return pd.concat(parts, ignore_index=True)


def draw(seed, *rates, samples=16):
    """The same with counts drawn from true success rates (problems,)."""
    rng = np.random.default_rng(seed)
    return table(*(rng.binomial(samples, rate) for rate in rates), samples=samples)


def pooled(found):
    """Rows of the base and of all runs of an arm together."""
    return found[found["run"].isin(["base", "all"])].reset_index(drop=True)


def difficulties(seed, problems, a=0.4, b=1.2):
    """Success rates of problems of very different difficulty."""
    return np.random.default_rng(seed).beta(a, b, problems)


@pytest.mark.parametrize("samples", [1, 4, 6])
def test_pass_at_k_is_the_share_of_subsets_with_a_correct_sample(samples):
    for correct in range(samples + 1):
        answers = [True] * correct + [False] * (samples - correct)
        for k in range(1, samples + 1):
            subsets = [any(subset) for subset in combinations(answers, k)]
            assert pass_at_k(samples, correct, k) == pytest.approx(np.mean(subsets))


@pytest.mark.parametrize("rate", [0.0, 0.02, 0.3, 1.0])
def test_pass_at_k_is_unbiased(rate):
    correct = np.arange(17)
    expected = binom.pmf(correct, 16, rate) @ pass_at_k(16, correct, KS)
    assert expected == pytest.approx(1 - (1 - rate) ** np.array(KS), abs=1e-12)


def test_the_share_of_solved_problems_is_not_unbiased_but_pass_at_k_is_in_simulation():
    rng, rate, k = np.random.default_rng(0), 0.1, 4
    correct = rng.binomial(16, rate, 20_000)
    truth = 1 - (1 - rate) ** k
    plug_in = 1 - (1 - correct / 16) ** k
    error = plug_in.std() / np.sqrt(len(correct))
    assert abs(pass_at_k(16, correct, k).mean() - truth) < 4 * error
    assert abs(plug_in.mean() - truth) > 8 * error


@pytest.mark.parametrize(
    ("samples", "correct", "k"),
    [(1024, 1, 1), (1024, 3, 256), (1024, 900, 2), (1000, 500, 500), (2000, 1, 2000)],
)
def test_pass_at_k_is_stable_with_many_samples(samples, correct, k):
    failed = Fraction(math.comb(samples - correct, k), math.comb(samples, k))
    assert pass_at_k(samples, correct, k) == pytest.approx(float(1 - failed), rel=1e-10)


@given(counts_of)
@settings(max_examples=60, deadline=None)
def test_pass_at_k_rises_with_k_and_with_correct_samples(case):
    n, c, k = case
    value = pass_at_k(n, c, k)
    assert 0 <= value <= 1
    assert pass_at_k(n, c, 1) == pytest.approx(c / n)
    assert k == n or pass_at_k(n, c, k + 1) >= value - 1e-12
    assert c == n or pass_at_k(n, c + 1, k) > value - 1e-12
    assert value == 1 if c > n - k else value < 1


def test_problems_may_have_different_numbers_of_samples():
    found = pass_at_k([[4, 8], [16, 8]], [[1, 2], [4, 0]], [1, 4])
    assert found.shape == (2, 2, 2)
    assert found[..., 0] == pytest.approx(np.array([[1 / 4, 1 / 4], [1 / 4, 0]]))
    assert found[0, 0, 1] == 1


@pytest.mark.parametrize(("n", "c", "k"), [(4, 1, 5), (4, 1, 0), (4, 5, 1), (4, -1, 1)])
def test_impossible_numbers_are_refused(n, c, k):
    with pytest.raises(ValueError, match="pass@k"):
        pass_at_k([n, 9], c, k)


def test_powers_end_with_the_smallest_number_of_samples():
    assert powers(table([1, 0], [1, 1], samples=12)) == [1, 2, 4, 8, 12]
    assert powers(table([1, 0], [1, 1])) == KS


def test_the_table_holds_the_mean_over_problems_and_the_paired_difference():
    counts = table([0, 8, 16, 16], [4, 8, 16, 16])
    found = pass_table(counts, [1, 16], seed=0, draws=400)
    assert list(found.columns) == PASS_COLUMNS
    one = found[found["run"] == "full-seed0"]
    assert one["value"].tolist() == found.loc[found["run"] == "all", "value"].tolist()
    value = pooled(found).set_index(["variant", "k"])["value"]
    assert value["base", 1] == pytest.approx(0.625)
    assert value["full", 1] == pytest.approx(0.6875)
    assert (value["base", 16], value["full", 16]) == pytest.approx((0.75, 1))
    full = found[(found["variant"] == "full") & (found["k"] == 1)].iloc[0]
    assert full["difference"] == pytest.approx(0.0625)
    assert found.loc[found["variant"] == "base", "difference"].isna().all()
    assert (found["low"] <= found["value"]).all()
    assert (found["value"] <= found["high"]).all()


def test_a_band_has_width_when_every_problem_is_certain():
    found = pass_table(table([16] * 20, [0] * 20), [1, 4], seed=0, draws=200)
    assert ((found["high"] - found["low"]) > 0.05).all()
    assert found["low"].min() == 0 and found["high"].max() == 1


def test_pairing_makes_a_difference_narrower_than_the_bands():
    rates = difficulties(3, 80)
    found = pass_table(draw(1, rates, rates), [1, 4], seed=0, draws=800)
    full = found[found["variant"] == "full"]
    paired = full["difference_high"] - full["difference_low"]
    # Without pairs it would be wider than a band by the root of two.
    assert (paired < 0.7 * (full["high"] - full["low"])).all()


def test_bands_cover_the_true_mean_over_new_problems():
    truth = 1 - math.exp(
        math.lgamma(1.2 + 4) + math.lgamma(1.6) - math.lgamma(1.2) - math.lgamma(5.6)
    )
    hits = 0
    for seed in range(STUDIES):
        counts = draw(seed, difficulties(seed + 10_000, 100))
        (band,) = pass_table(counts, [4], seed, draws=300).itertuples()
        hits += band.low <= truth <= band.high
    assert abs(hits / STUDIES - LEVEL) < TOLERANCE


def test_runs_of_an_arm_get_a_mean_and_disagreement_widens_it():
    base = np.tile([2, 6], 30)
    parts = [table(base, base + 4, run="full-seed0")]
    for gain, run in ((4, "full-seed1"), (0, "prs-seed0"), (8, "prs-seed1")):
        parts.append(rows(run, "full", base + gain, 16))
    found = pass_table(pd.concat(parts), [1], seed=0, draws=800)
    means = found[found["run"] == "all"].set_index("arm")
    assert means["value"].to_numpy() == pytest.approx(0.5)
    widths = means["difference_high"] - means["difference_low"]
    assert widths["prs"] > 2 * widths["full"]
    assert (found["arm"] == "base").sum() == 1
    assert (means["runs"] == 2).all()


def efficiency(counts, draws, ks=KS):
    """Crossing and gap of `full` over all runs of its arm."""
    found = pooled(efficiency_table(counts, ks, seed=0, draws=draws))
    return found.set_index("variant").loc["full"]


def mixed(problems, easy, rate):
    """Rates: a share `easy` of the problems is nearly solved, the rest nearly never."""
    return np.where(np.arange(problems) < easy * problems, rate, 0.004)


def test_a_planted_crossing_is_recovered():
    counts = draw(0, np.full(200, 0.1), mixed(200, 0.6, 0.9), samples=64)
    ks = powers(counts)
    found = efficiency(counts, 600, ks)
    # 1 - 0.9^k = 0.6 (1 - 0.1^k) + 0.4 (1 - 0.996^k)
    k = np.linspace(1, 64, 100_000)
    ahead = 0.9**k < 0.6 * 0.1**k + 0.4 * 0.996**k
    truth = k[ahead.argmax()]
    assert 8 < truth < 11
    assert found["crossing"] == pytest.approx(truth, rel=0.25)
    assert found["low"] < truth < found["high"]
    assert found["missing"] == found["ahead"] == 0


def test_curves_do_not_cross_where_one_dominates_even_if_both_reach_one():
    counts = draw(0, np.full(60, 0.3), np.full(60, 0.6), samples=64)
    assert pass_at_k(64, counts["correct"], 64).all()
    found = efficiency(counts, 300, powers(counts))
    assert found[["crossing", "low", "high"]].isna().all()
    assert found["missing"] == 1


def test_equal_models_never_cross():
    counts = table([3, 4, 0], [3, 4, 0])
    found = efficiency(counts, 100)
    assert np.isnan(found["crossing"]) and found["missing"] == 1


def test_a_base_that_is_ahead_from_the_start_crosses_at_the_smallest_k():
    counts = draw(0, np.full(60, 0.6), np.full(60, 0.3))
    found = efficiency(counts, 300)
    assert found["crossing"] == found["high"] == 1
    assert found["ahead"] == 1


def test_an_uncertain_crossing_has_an_infinite_bound_and_a_share_without_one():
    rates = np.full(30, 0.12), mixed(30, 0.8, 0.5)
    found = efficiency(draw(4, *rates), 800)
    assert np.isfinite(found["crossing"])
    assert 0.025 < found["missing"] < 0.975
    assert math.isinf(found["high"])
    assert np.isfinite(found["low"])


@pytest.mark.parametrize(
    ("difference", "k"),
    [
        ([-1, 1, 1], 2),
        ([-3, -1, 1], math.sqrt(32)),
        ([-1, 0, 1], 4),
        ([-1, -1, 0], math.inf),
        ([0, 0, 0], math.inf),
        ([0, 0, 1], 1),
        ([1, -1, 1], 1),
        ([-1, 1, -1], 2),
    ],
)
def test_crossings_are_interpolated_in_log_k(difference, k):
    found = crossings(np.array([difference], dtype=float), [1, 4, 8])
    assert found == pytest.approx(k)


def test_the_gap_is_the_bases_best_minus_the_variants_first():
    counts = table([1] * 30 + [0] * 10, [8] * 30 + [0] * 10)
    found = efficiency(counts, 600)
    assert found["gap"] == pytest.approx(0.75 - 0.375)
    assert 0.2 < found["gap_low"] < found["gap"] < found["gap_high"] < 0.5


def test_one_table_has_crossing_and_gap_of_every_variant():
    counts = draw(
        0, np.full(100, 0.1), mixed(100, 0.6, 0.9), np.full(100, 0.5), samples=32
    )
    ks = powers(counts)
    found = efficiency_table(counts, ks, seed=0, draws=300)
    assert list(found.columns) == EFFICIENCY_COLUMNS
    found = pooled(found).set_index("variant")
    assert np.isfinite(found.loc["full", "crossing"])
    assert np.isnan(found.loc["rank1", "crossing"])
    assert found.loc["rank1", "missing"] == 1
    curves = pass_table(counts, ks, seed=0, draws=10)
    value = pooled(curves).set_index(["variant", "k"])["value"]
    for variant in ("full", "rank1"):
        gap = value["base", 32] - value[variant, 1]
        assert found.loc[variant, "gap"] == pytest.approx(gap)


def test_solvable_problems_are_counted():
    counts = table([1, 1, 3, 0, 0, 0], [5, 0, 0, 1, 0, 0])
    (found,) = solvable_sets(counts).to_dict("records")
    assert list(found) == SOLVABLE_COLUMNS
    cells = ("both", "base_only", "variant_only", "neither", "fragile")
    assert [found[name] for name in cells] == [1, 2, 1, 2, 2]
    assert found["p"] == 1
    assert "16 samples" in found["warning"]


def test_lost_problems_are_told_from_chance():
    rates = difficulties(0, 300)
    lost = np.where(np.arange(300) % 3 == 0, 0, rates)
    assert solvable_sets(draw(0, rates, lost))["p"].item() < 1e-6
    alarms = [
        solvable_sets(draw(seed, rates, rates))["p"].item() < 0.05
        for seed in range(STUDIES)
    ]
    assert np.mean(alarms) < 0.05 + TOLERANCE


def test_solvable_sets_of_different_numbers_of_samples_are_not_tested():
    counts = pd.concat(
        [rows("base", "base", [1, 0], 64), rows("full-seed0", "full", [0, 1], 16)]
    )
    (found,) = solvable_sets(counts).to_dict("records")
    assert np.isnan(found["p"])
    assert "64" in found["warning"] and "cannot be compared" in found["warning"]


def test_no_change_stays_within_the_null_band_at_every_k():
    rates = difficulties(1, 60)
    outside, small = np.zeros((2, len(KS)))
    for seed in range(STUDIES):
        counts = draw(seed, rates, rates)
        found = pooled(resampled_null(counts, "full", KS, seed, draws=200))
        outside += ~found["value"].between(found["low"], found["high"])
        small += found["p"] <= 0.05
    assert (outside / STUDIES < 0.05 + TOLERANCE).all()
    assert (small / STUDIES < 0.05 + TOLERANCE).all()
    # It is a test, not a rule that never rejects.
    assert (small / STUDIES).max() > 0.01


def test_planted_sharpening_is_above_the_null_at_one_and_below_it_at_many():
    rates = difficulties(1, 200)
    sharp = np.where(rates > 0.3, 0.99, 0)
    found = resampled_null(draw(0, rates, sharp), "full", KS, seed=0, draws=400)
    assert list(found.columns) == NULL_COLUMNS
    first, last = found.iloc[0], found.iloc[-1]
    assert first["value"] > first["high"] and first["p"] < 0.01
    assert last["value"] < last["low"] and last["p"] < 0.01


def test_the_null_holds_for_unequal_samples_and_several_runs():
    rates, alarms, studies = difficulties(2, 50), 0, STUDIES // 2
    for seed in range(studies):
        rng = np.random.default_rng(seed)
        parts = [rows("base", "base", rng.binomial(32, rates), 32)]
        for run in ("a-seed0", "a-seed1"):
            parts.append(rows(run, "full", rng.binomial(8, rates), 8))
        found = resampled_null(pd.concat(parts), "full", [4], seed, draws=100)
        alarms += found.loc[found["run"] == "all", "p"].item() <= 0.05
    assert 0 < alarms / studies < 0.05 + 1.5 * TOLERANCE


def test_the_same_seed_gives_the_same_tables():
    counts = draw(0, difficulties(0, 30), difficulties(1, 30))
    for made in (
        lambda seed: pass_table(counts, KS, seed, draws=50),
        lambda seed: resampled_null(counts, "full", KS, seed, draws=50),
    ):
        pd.testing.assert_frame_equal(made(1), made(1))
        assert not made(1).equals(made(2))


def test_the_order_of_rows_does_not_matter():
    counts = draw(0, difficulties(0, 30), difficulties(1, 30))
    shuffled = counts.sample(frac=1, random_state=0)
    pd.testing.assert_frame_equal(
        pass_table(counts, KS, 0, draws=50), pass_table(shuffled, KS, 0, draws=50)
    )


def test_the_name_of_the_bases_run_does_not_matter():
    counts = draw(0, difficulties(0, 30), difficulties(1, 30))
    renamed = counts.replace({"run": {"base": "full-seed0"}})
    pd.testing.assert_frame_equal(
        pass_table(counts, KS, 0, draws=50), pass_table(renamed, KS, 0, draws=50)
    )


GOOD = table([1, 2], [3, 4])


@pytest.mark.parametrize(
    ("counts", "message"),
    [
        (GOOD.drop(columns="samples"), "lacks the columns samples"),
        (GOOD[GOOD["variant"] != "base"], "sample the base"),
        (pd.concat([GOOD, GOOD.iloc[:1]]), "base once for all runs"),
        (GOOD.assign(correct=17), "17 correct of 16"),
        (GOOD.assign(correct=0, samples=0), "0 correct of 0"),
        (GOOD.iloc[:-1], "1 problems of full"),
    ],
)
def test_unsound_tables_are_refused(counts, message):
    with pytest.raises(UserError, match=message):
        pass_table(counts, [1], seed=0, draws=10)


@pytest.mark.parametrize(
    ("ks", "message"),
    [
        ([1, 32], "draw more samples"),
        ([4, 2], "rising"),
        ([0, 2], "rising"),
        ([], "rising"),
    ],
)
def test_impossible_k_are_refused(ks, message):
    for call in (pass_table, efficiency_table):
        with pytest.raises(UserError, match=message):
            call(GOOD, ks, 0, 10)


def test_a_variant_that_no_run_has_is_refused():
    with pytest.raises(UserError, match="rank1"):
        resampled_null(GOOD, "rank1", KS, seed=0, draws=10)
