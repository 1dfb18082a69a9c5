"""Equivalence: verdicts on planted differences, and how often they are false."""

import math

import numpy as np
import pytest

from rankone.errors import UserError
from rankone.statistics.equivalence import (
    DAMAGED,
    IMPROVED,
    RETAINED,
    UNDETERMINED,
    equivalence,
)
from rankone.statistics.intervals import bootstrap

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
