"""Random walks have the laws of simulated matrices, and planted ones are found."""

import numpy as np
import pandas as pd
import pytest
import torch

from rankone.dynamics import alignment, trajectory_statistics
from rankone.dynamics import random_walk as walks
from rankone.dynamics.alignment import (
    CONTRAST,
    LEFT,
    RIGHT,
)
from rankone.dynamics.random_walk import (
    expected_gram,
    increment_statistics,
    random_walk,
    walk_alignment,
    walk_null,
)
from rankone.dynamics.trajectory_statistics import (
    WALK_LINEARITY,
    WALK_SHARE,
    WALK_SHARE_OF_FIVE,
    gram,
)
from rankone.linalg.svd import leading
from trajectories import STEPS, rng, torch_rng, turned, unclear, walk, walk_gram


def test_the_cosine_of_random_directions_in_space_is_uniform():
    # Archimedes: one coordinate of a point on the sphere in R^3 is uniform.
    assert walks.random_cosine(3) == pytest.approx((0.5, 12**-0.5))


@pytest.mark.parametrize("dimension", [2, 24, 600])
def test_the_law_of_random_cosines_is_that_of_simulated_ones(dimension):
    one, two = rng().normal(size=(2, 4000, dimension))
    cosines = np.abs((one * two).sum(1))
    cosines /= np.linalg.norm(one, axis=1) * np.linalg.norm(two, axis=1)
    mean, sd = walks.random_cosine(dimension)
    assert cosines.mean() == pytest.approx(mean, abs=4 * sd / 4000**0.5)
    assert cosines.std() == pytest.approx(sd, rel=0.08)


def test_the_mean_cosine_in_many_dimensions_is_the_half_normal_one():
    mean, _ = walks.random_cosine(10**6)
    assert mean == pytest.approx(np.sqrt(2 / (np.pi * 10**6)), rel=1e-5)


def test_the_gram_matrix_of_a_plain_walk_is_the_earlier_of_two_steps():
    found = expected_gram(STEPS)
    np.testing.assert_allclose(found, np.minimum.outer(STEPS, STEPS) / 40)


@pytest.mark.parametrize("rho", [-0.5, 0.3, 0.9])
def test_the_gram_matrix_of_a_correlated_walk_is_the_sum_of_its_correlations(rho):
    lags = np.abs(np.subtract.outer(np.arange(40), np.arange(40)))
    sums = np.cumsum(np.cumsum(rho**lags, axis=0), axis=1)
    at = np.array(STEPS) - 1
    expected = sums[np.ix_(at, at)] / sums[39, 39]
    np.testing.assert_allclose(expected_gram(STEPS, rho), expected)


@pytest.mark.parametrize("rho", [0.0, 0.5, 0.9])
@pytest.mark.parametrize("snr", [0.0, 0.5, 2.0])
def test_correlation_and_drift_of_a_simulated_walk_are_recovered(rho, snr):
    steps = np.array([5, 10, 20, 25, 40, 60])
    noise = walks.path_variance(np.array(60.0), rho)
    positions = walk(60, 40_000, 3, rho, snr * np.sqrt(noise) / 60)[steps - 1]
    found = increment_statistics(positions @ positions.T, steps)
    assert found.rho == pytest.approx(rho, abs=0.05)
    assert found.drift_snr == pytest.approx(snr, abs=0.15)


def test_the_exponent_is_one_for_a_walk_and_two_for_a_drift():
    walk = expected_gram(STEPS)
    assert increment_statistics(walk, STEPS).exponent == pytest.approx(1)
    drift = expected_gram(STEPS, drift_snr=1e3)
    assert increment_statistics(drift, STEPS).exponent == pytest.approx(2, abs=1e-5)


def test_sizes_of_increments_do_not_pass_for_a_drift():
    """A walk with a decaying learning rate is still a walk."""
    scale = np.array([1.0, 0.7, 0.4, 0.1])
    times = np.cumsum(scale**2)
    found = increment_statistics(np.minimum.outer(times, times), STEPS)
    assert abs(found.rho) < 0.01 and found.drift_snr < 0.03


def test_too_few_steps_have_no_correlation():
    found = increment_statistics(expected_gram(STEPS[:2]), STEPS[:2])
    assert np.isnan([found.rho, found.drift_snr]).all()
    assert found.exponent == pytest.approx(1)
    assert np.isnan(increment_statistics(np.ones((1, 1)), (10,)).exponent)


def test_updates_of_several_sizes_have_one_mean_gram_matrix():
    one = expected_gram(STEPS)
    found = walks.mean_gram([one, 100 * one, np.eye(4)])
    expected = (2 * one / np.trace(one) + np.eye(4) / 4) / 3
    np.testing.assert_allclose(found, expected)


@pytest.mark.parametrize("spike", [0.0, 0.7])
@pytest.mark.parametrize("drift", [0.0, 1.0])
def test_simulated_updates_have_the_gram_matrix_they_should(spike, drift):
    wanted = expected_gram(STEPS, drift_snr=drift)
    found = [
        gram(walks.simulated_updates(60, 40, wanted, torch_rng(i), spike))
        for i in range(100)
    ]
    expected = walks.as_correlation(wanted)
    np.testing.assert_allclose(np.mean(found, axis=0), expected, atol=0.03)


@pytest.mark.parametrize("shape", [(200, 200), (400, 100), (100, 400)])
@pytest.mark.parametrize("strength", [0.4, 0.8])
def test_the_strength_of_a_spike_is_found_from_the_first_share(shape, strength):
    (factors,) = random_walk(*shape, np.eye(1), torch_rng(1), strength)
    share = factors.sigma[0].item() / factors.norm
    assert share > strength
    assert walks.spike_strength(share, *shape) == pytest.approx(strength, abs=0.02)


def test_shares_that_noise_has_are_no_spike_and_all_is_all():
    assert walks.spike_strength(0.08, 576, 576) == 0
    assert walks.spike_strength(1.0, 576, 1536) == pytest.approx(1)
    found = walks.spike_strength(np.array([0.05, 0.5, 0.9]), 576, 1536)
    assert (np.diff(found) > 0).all()


def test_the_same_generator_gives_the_same_walk():
    one, two = (random_walk(9, 8, np.eye(2), torch_rng(5), 0.5) for _ in range(2))
    assert all(torch.equal(a.left, b.left) for a, b in zip(one, two, strict=True))


def test_a_shuffled_trajectory_ends_where_the_measured_one_does():
    updates = list(torch.randn(4, 12, 9, generator=torch_rng()).cumsum(0))
    last = leading(updates[-1], 1)
    shuffled = [walks.step_shuffled(updates, torch_rng(i)) for i in range(5)]
    for surrogate in shuffled:
        torch.testing.assert_close(surrogate[-1].sigma, last.sigma)
    firsts = {round(surrogate[0].sigma.item(), 3) for surrogate in shuffled}
    steps = torch.stack(updates).diff(dim=0, prepend=torch.zeros(1, 12, 9))
    assert 1 < len(firsts)
    assert firsts <= {round(leading(each, 1).sigma.item(), 3) for each in steps}


def test_a_shuffled_trajectory_keeps_a_side_and_loses_an_order():
    angles = torch.linspace(0, torch.pi / 2, 6)
    right = torch.zeros(6, 20)
    right[:, 0], right[:, 1] = angles.cos(), angles.sin()
    steps = torch.eye(30)[0][:, None] * right[:, None, :]
    updates = list(steps.cumsum(0))
    measured = alignment.first_cosines([leading(each, 1) for each in updates])
    null = walks.shuffled_null(range(6), updates, torch_rng(), 30)
    null = null[null["kind"] == alignment.TO_FINAL].set_index(["side", "step"])["mean"]
    np.testing.assert_allclose(null[LEFT], 1, atol=1e-5)
    # Turning one way, the first step is the furthest from the last sum.
    assert measured[RIGHT][0, 5] + 0.1 < null[RIGHT, 0]


def test_the_null_of_a_square_matrix_prefers_no_side_at_all():
    null = walk_alignment(24, 24, STEPS, expected_gram(STEPS), torch_rng(), draws=60)
    sides = null.pivot(index=["kind", "step"], columns="side", values="mean")
    np.testing.assert_allclose(sides[CONTRAST], 0, atol=1e-12)
    np.testing.assert_allclose(sides[LEFT], sides[RIGHT])
    assert (null.loc[null["side"] == CONTRAST, "error"] == 0).all()


def test_too_few_identifiable_draws_make_no_null():
    draws = [[unclear(6, 6)] * 2] * 30 + [[turned(6, 6, 0, 0)] * 2] * 19
    null = walks.simulated_null((1, 2), draws)
    assert (null["draws"] == 19).all() and null[["mean", "sd"]].isna().all(axis=None)
    more = walks.simulated_null((1, 2), [*draws, [turned(6, 6, 0, 0)] * 2])
    assert (more["draws"] == 20).all() and more["mean"].notna().all()


def test_the_null_without_matrices_is_that_of_walks_in_so_many_dimensions():
    steps = np.arange(1, 21)
    null = walk_null(steps, 400, rng(), rho=0.4, drift_snr=0.5, dimension=300)
    noise = walks.path_variance(np.array(20.0), 0.4)
    direct = pd.DataFrame(
        trajectory_statistics.trajectory_statistics(
            walk_gram(20, 300, seed, 0.4, 0.5 * np.sqrt(noise) / 20), steps
        )
        for seed in range(400)
    )
    # The length of the drift is fixed here and random there: compare with care.
    for name in null.drop(columns="extrapolation_r2"):
        error = np.hypot(null[name].sem(), direct[name].sem())
        assert null[name].mean() == pytest.approx(direct[name].mean(), abs=5 * error)
        assert null[name].std() == pytest.approx(direct[name].std(), rel=0.25)


def test_many_dimensions_leave_the_null_no_spread():
    null = walk_null(np.arange(1, 101), 5, rng()).drop(columns="extrapolation_r2")
    assert (null.std() < 0.002).all()
    limits = [WALK_SHARE, WALK_SHARE_OF_FIVE, WALK_LINEARITY]
    np.testing.assert_allclose(null.mean(), limits, atol=0.004)


def test_correlations_beyond_one_are_refused():
    with pytest.raises(ValueError, match="rho"):
        expected_gram(STEPS, rho=1.0)
