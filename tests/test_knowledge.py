"""What is retained, damaged or forgotten is what was planted; KL is exact."""

import math

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from torch.distributions import Categorical, kl_divergence

from rankone.errors import UserError
from rankone.knowledge import (
    DAMAGED,
    IMPROVED,
    RESIDUAL_COLUMNS,
    RETAINED,
    UNDETERMINED,
    benefit_and_damage,
    equivalence,
    forgetting_curve,
    forgetting_points,
    mean_kl,
    sequence_kl,
    token_kl,
)
from rankone.statistics import LEVEL, Sample, bootstrap

BASE, VARIANT = 0, 1
MARGIN = 0.05
STUDIES = 400

logits = arrays(np.float32, (3, 7), elements=st.floats(-30, 30, width=32))


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


def test_kl_is_that_of_the_definition_on_a_tiny_vocabulary():
    p, q = [0.5, 0.25, 0.25], [0.25, 0.25, 0.5]
    expected = sum(a * math.log(a / b) for a, b in zip(p, q, strict=True))
    found = token_kl(torch.tensor([p]).log(), torch.tensor([q]).log())
    assert found.tolist() == pytest.approx([expected])


@given(logits, logits)
@settings(max_examples=80, deadline=None)
def test_kl_is_torchs_and_never_negative(first, second):
    base, model = torch.from_numpy(first), torch.from_numpy(second)
    found = token_kl(base, model)
    exact = kl_divergence(
        Categorical(logits=base.double()), Categorical(logits=model.double())
    )
    assert (found >= 0).all()
    torch.testing.assert_close(found.double(), exact, rtol=1e-4, atol=1e-7)


@given(logits)
@settings(max_examples=30, deadline=None)
def test_kl_of_equal_models_is_zero(values):
    base = torch.from_numpy(values)
    assert (token_kl(base, base.clone()) == 0).all()
    # A constant added to all logits is the same model.
    assert token_kl(base, base + 3).max() < 1e-6


def test_a_small_kl_is_accurate_in_a_large_vocabulary():
    generator = torch.Generator().manual_seed(0)
    base = 4 * torch.randn(4, 50_000, generator=generator)
    model = base + 1e-3 * torch.randn(base.shape, generator=generator)
    log_p, log_q = (x.double().log_softmax(-1) for x in (base, model))
    exact = (log_p.exp() * (log_p - log_q)).sum(-1)
    assert exact.max() < 1e-6
    torch.testing.assert_close(token_kl(base, model).double(), exact, rtol=1e-2, atol=0)


def test_tokens_that_a_model_excludes_count_right():
    never = -math.inf
    half, sure = torch.tensor([[0.0, 0.0, never]]), torch.tensor([[0.0, never, never]])
    assert token_kl(sure, half).item() == pytest.approx(math.log(2))
    assert token_kl(half, sure).item() == math.inf
    assert token_kl(half, half).item() == 0


def test_a_token_that_the_base_hardly_ever_says_does_not_overflow():
    base, model = torch.tensor([[0.0, -100.0]]), torch.tensor([[0.0, 0.0]])
    assert token_kl(base, model).item() == pytest.approx(math.log(2))


def test_sequence_kl_is_the_kl_of_whole_answers():
    # Two tokens from a vocabulary of three; the second depends on the first.
    generator = torch.Generator().manual_seed(1)
    first, second = torch.randn(2, 3, generator=generator)
    after_base, after_model = torch.randn(2, 3, 3, generator=generator)
    p1, q1 = first.softmax(0), second.softmax(0)
    p2, q2 = after_base.softmax(1), after_model.softmax(1)
    joint_p, joint_q = (p1[:, None] * p2).flatten(), (q1[:, None] * q2).flatten()
    exact = (joint_p * (joint_p / joint_q).log()).sum()
    # All first tokens, weighted as the base samples them.
    base = torch.stack([first.expand(3, 3), after_base], dim=1)
    model = torch.stack([second.expand(3, 3), after_model], dim=1)
    found = sequence_kl(base, model, torch.ones(3, 2, dtype=torch.bool))
    assert (p1 @ found).item() == pytest.approx(exact.item(), rel=1e-5)


def test_positions_outside_the_answer_do_not_count():
    base, model = torch.zeros(2, 3, 4), torch.zeros(2, 3, 4)
    model[:, 0, 0] = math.inf
    model[0, 2, 1] = 1.0
    answer = torch.tensor([[0, 1, 1], [0, 1, 0]])
    found = sequence_kl(base, model, answer)
    assert found[0] > 0 and found[1] == 0
    assert found[0] == token_kl(base, model)[0, 2]


def test_misshapen_logits_are_refused():
    with pytest.raises(ValueError, match="logits"):
        token_kl(torch.zeros(2, 3), torch.zeros(2, 4))
    with pytest.raises(ValueError, match="answer"):
        sequence_kl(torch.zeros(1, 2, 3), torch.zeros(1, 2, 3), torch.ones(1, 3))


def test_interval_of_the_mean_kl_covers_the_truth():
    hits = 0
    for seed in range(STUDIES):
        values = rng(seed).gamma(4, 0.25, 60)
        found = mean_kl(values, rng(seed), draws=300)
        hits += found.low <= 1 <= found.high
    assert abs(hits / STUDIES - LEVEL) < tolerance(LEVEL)


def test_answers_to_one_prompt_are_not_independent():
    level = np.repeat(rng().gamma(2, 0.5, 40), 8)
    prompts = np.repeat(np.arange(40), 8)
    alone = mean_kl(level, rng())
    grouped = mean_kl(level, rng(), prompts=prompts)
    assert grouped.value == pytest.approx(alone.value)
    assert grouped.high - grouped.low > 2 * (alone.high - alone.low)


def test_kl_without_a_finite_value_is_refused():
    for values in ([], [1.0, math.inf]):
        with pytest.raises(ValueError, match="finite"):
            mean_kl(values, rng())


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
