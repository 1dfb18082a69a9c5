"""Intervals cover what they should, and recovery is what was planted."""

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.stats import binom

from rankone.statistics.intervals import (
    DEFINED,
    LEVEL,
    LOSS,
    NO_GAIN,
    bootstrap,
    bootstrap_mean,
    clustered_interval,
    paired_difference,
    recovery,
    wilson,
)

BASE, FULL, VARIANT = 0, 1, 2
STUDIES = 400
# Four standard errors of a coverage of 0.95 that was counted in 400 studies.
TOLERANCE = 4 * np.sqrt(LEVEL * (1 - LEVEL) / STUDIES)


scores = arrays(np.float64, (1, 3, 40), elements=st.sampled_from([0.0, 1.0]))


def rng(seed=0):
    return np.random.default_rng(seed)


def nested(*solved, items=100):
    """Scores (1, V, items): variant v solves its first `solved[v]` items."""
    return np.array([[np.arange(items) < n for n in solved]], dtype=float)


def simulate(generator, items, rates):
    """Correlated 0/1 scores (1, V, items) with the given true rates."""
    difficulty = generator.normal(size=items) * 0.5
    noise = difficulty + generator.normal(size=(len(rates), items))
    ranks = np.sqrt(1.25) * np.array([normal_quantile(rate) for rate in rates])
    return (noise < ranks[:, None]).astype(float)[None]


def normal_quantile(rate):
    from scipy.stats import norm

    return norm.ppf(rate)


def coverage(estimate, truth, items, rates):
    """Share of simulated studies whose interval holds the truth."""
    hits = 0
    for seed in range(STUDIES):
        sample = bootstrap([simulate(rng(seed), items, rates)], rng(seed), draws=800)
        result = estimate(sample)
        hits += result.low <= truth <= result.high
    return hits / STUDIES


def test_interval_of_a_paired_difference_covers_the_planted_difference():
    found = coverage(lambda s: paired_difference(s, FULL), 0.1, 120, (0.4, 0.5))
    assert abs(found - LEVEL) < TOLERANCE


def test_interval_of_recovery_covers_the_planted_share():
    rates = (0.3, 0.7, 0.3 + 0.6 * 0.4)
    found = coverage(lambda s: recovery(s, VARIANT, FULL).estimate, 0.6, 200, rates)
    assert abs(found - LEVEL) < TOLERANCE


def test_paired_interval_is_narrower_than_unpaired_ones_together():
    sample = bootstrap([nested(30, 40)], rng())
    paired = paired_difference(sample, FULL)
    widths = [wilson(0.3, 100), wilson(0.4, 100)]
    unpaired = np.sqrt(sum((w.high - w.low) ** 2 for w in widths))
    assert paired.high - paired.low < 0.75 * unpaired


@pytest.mark.parametrize("rate", [0.02, 0.3, 0.5, 0.98])
def test_wilson_covers_near_the_ends(rate):
    n = 200
    hits = [wilson(k / n, n).low <= rate <= wilson(k / n, n).high for k in range(n + 1)]
    assert binom.pmf(np.arange(n + 1), n, rate)[hits].sum() > 0.93


def test_wilson_matches_the_published_example():
    # Newcombe, Statistics in Medicine 17 (1998) 857, table I: 81 of 263.
    result = wilson(81 / 263, 263)
    assert (round(result.low, 4), round(result.high, 4)) == (0.2553, 0.3662)


@pytest.mark.parametrize("score", [0.0, 1.0])
def test_wilson_has_width_when_all_items_agree(score):
    result = wilson(score, 50)
    assert result.low <= score <= result.high
    assert result.high - result.low > 0.05


def test_recovery_is_the_planted_share():
    result = recovery(bootstrap([nested(30, 70, 50)], rng()), VARIANT, FULL)
    assert result.status == DEFINED
    assert result.estimate.value == pytest.approx(0.5)
    assert result.gain.value == pytest.approx(0.4)


@pytest.mark.parametrize(("full", "status"), [(31, NO_GAIN), (30, NO_GAIN), (5, LOSS)])
def test_recovery_without_a_gain_is_undefined_and_says_why(full, status):
    result = recovery(bootstrap([nested(30, full, 30)], rng()), VARIANT, FULL)
    assert result.status == status
    assert np.isnan([result.estimate.value, result.estimate.low]).all()


def test_variant_equal_to_the_base_is_not_certain_to_recover_nothing():
    estimate = recovery(bootstrap([nested(30, 70, 30)], rng()), VARIANT, FULL).estimate
    assert estimate.low < 0 < estimate.high


def test_floor_shrinks_with_the_number_of_items():
    widths = [
        paired_difference(bootstrap([nested(3, 3, items=n)], rng()), 1).high
        for n in (50, 500)
    ]
    assert 0 < widths[1] < widths[0] / 5


def test_mean_over_benchmarks_is_unweighted():
    strata = [nested(50, 50, items=100), nested(0, 0, items=1000)]
    assert bootstrap_mean(bootstrap(strata, rng())).value == pytest.approx(0.25)


def test_disagreement_between_runs_widens_the_interval():
    agree = np.concatenate([nested(30, 50), nested(30, 50)])
    differ = np.concatenate([nested(30, 35), nested(30, 65)])
    same, other = (
        paired_difference(bootstrap([scores], rng()), FULL)
        for scores in (agree, differ)
    )
    assert same.value == pytest.approx(other.value)
    assert other.high - other.low > 1.5 * (same.high - same.low)


def test_runs_share_their_resampled_items():
    one = nested(30, 50)
    single, double = (
        paired_difference(bootstrap([scores], rng()), FULL)
        for scores in (one, np.concatenate([one, one]))
    )
    # Two identical runs add no information about items.
    assert double.high - double.low == pytest.approx(single.high - single.low, rel=0.1)


@given(scores, st.randoms(use_true_random=False))
@settings(max_examples=30, deadline=None)
def test_order_of_items_does_not_matter(values, random):
    order = random.sample(range(values.shape[2]), values.shape[2])
    first, second = (
        bootstrap([v], rng(), draws=200) for v in (values, values[:, :, order])
    )
    assert paired_difference(first, VARIANT) == paired_difference(second, VARIANT)
    assert bootstrap_mean(first, FULL) == bootstrap_mean(second, FULL)


@given(scores)
@settings(max_examples=30, deadline=None)
def test_difference_is_antisymmetric_and_holds_its_value(values):
    sample = bootstrap([values], rng(), draws=200)
    forth = paired_difference(sample, VARIANT, FULL)
    back = paired_difference(sample, FULL, VARIANT)
    assert forth.low <= forth.value <= forth.high
    assert (forth.value, forth.low) == pytest.approx((-back.value, -back.high))


@given(scores)
@settings(max_examples=30, deadline=None)
def test_full_recovers_all_and_base_nothing(values):
    sample = bootstrap([values], rng(), draws=200)
    if recovery(sample, FULL, FULL).status == DEFINED:
        assert recovery(sample, FULL, FULL).estimate.value == pytest.approx(1)
        assert recovery(sample, BASE, FULL).estimate.value == pytest.approx(0)


def test_copies_of_the_items_keep_the_value_and_narrow_the_interval():
    one = nested(30, 50)
    four = np.tile(one, 4)
    first, second = (
        paired_difference(bootstrap([v], rng()), FULL) for v in (one, four)
    )
    assert second.value == pytest.approx(first.value)
    ratio = (second.high - second.low) / (first.high - first.low)
    assert ratio == pytest.approx(0.5, abs=0.08)


def test_ten_thousand_draws_of_500_items_take_less_than_a_second():
    values = rng().integers(0, 2, size=(2, 9, 500)).astype(float)
    start = time.perf_counter()
    sample = bootstrap([values], rng(), draws=10_000)
    for variant in range(2, 9):
        recovery(sample, variant, FULL)
    assert time.perf_counter() - start < 1


@pytest.mark.parametrize(
    "strata", [[np.zeros((1, 2, 0))], [np.zeros((2, 3))], [nested(1), nested(1, 2)]]
)
def test_misshapen_strata_are_refused(strata):
    with pytest.raises(ValueError, match="strata"):
        bootstrap(strata, rng())


@pytest.mark.parametrize("clusters", [4, 12])
def test_the_interval_of_few_clusters_covers_what_it_should(clusters):
    hits, generator = 0, rng(8)
    for _ in range(400):
        sample = generator.normal(size=clusters)
        drawn = generator.choice(sample, (1000, clusters)).mean(1)
        found = clustered_interval(sample.mean(), drawn, clusters)
        hits += found.low <= 0 <= found.high
    assert 0.92 < hits / 400 < 0.98
