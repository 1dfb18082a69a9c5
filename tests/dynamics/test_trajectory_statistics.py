"""Statistics of a trajectory: closed forms of walks and lines; what is undefined."""

import numpy as np
import pytest
import torch

from rankone.dynamics import trajectory_statistics
from rankone.dynamics.random_walk import (
    expected_gram,
)
from rankone.dynamics.trajectory_statistics import (
    WALK_LINEARITY,
    WALK_SHARE,
    WALK_SHARE_OF_FIVE,
    gram,
)
from trajectories import STEPS, torch_rng, walk, walk_gram


@pytest.mark.parametrize("shape", [(3000, 500), (7, 300), (1, 1)])
def test_the_gram_matrix_is_that_of_the_flattened_updates(shape):
    updates = [torch.randn(shape, generator=torch_rng(i)) for i in range(3)]
    flat = torch.stack(updates).reshape(3, -1).double().numpy()
    np.testing.assert_allclose(gram(updates), flat @ flat.T, rtol=1e-12)


def test_closed_forms_are_the_published_values():
    assert WALK_SHARE == pytest.approx(0.8106, abs=5e-5)
    assert WALK_SHARE_OF_FIVE == pytest.approx(0.845, abs=5e-4)
    assert WALK_LINEARITY == pytest.approx(0.958, abs=5e-4)


def test_a_simulated_walk_has_the_known_shares_and_linearity():
    # In 30 000 dimensions a walk of 100 steps is within 0.006 of the limit.
    steps, positions = np.arange(1, 101), walk_gram(100, 30_000, 1)
    found = trajectory_statistics.trajectory_statistics(positions, steps)
    assert found["first_component_share"] == pytest.approx(WALK_SHARE, abs=0.006)
    assert found["share_of_five"] == pytest.approx(WALK_SHARE_OF_FIVE, abs=0.006)
    assert found["linearity_r2"] == pytest.approx(WALK_LINEARITY, abs=0.006)


@pytest.mark.parametrize(
    ("snr", "expected"), [(0.0, 0.958), (0.5, 0.975), (1.0, 0.991)]
)
def test_a_drift_makes_the_first_coefficient_more_linear(snr, expected):
    steps = np.arange(1, 301)
    found = trajectory_statistics.linearity_r2(
        expected_gram(steps, drift_snr=snr), steps
    )
    assert found == pytest.approx(expected, abs=0.003)


def test_a_straight_line_is_one_component_and_linear_in_and_out_of_sample():
    line = expected_gram(STEPS, drift_snr=1e6)
    found = trajectory_statistics.trajectory_statistics(line, STEPS)
    assert list(found.values())[:3] == pytest.approx([1, 1, 1], abs=1e-6)
    assert trajectory_statistics.extrapolation_r2(line, STEPS, 2) == pytest.approx(
        1, abs=1e-6
    )


def test_a_walk_is_linear_in_sample_but_cannot_be_extrapolated():
    found, steps = walk_gram(60, 20_000, 2), np.arange(1, 61)
    assert trajectory_statistics.linearity_r2(found, steps) > 0.9
    assert trajectory_statistics.extrapolation_r2(found, steps, 30) < 0


@pytest.mark.parametrize(("count", "defined"), [(1, 2), (2, 2), (3, 3), (4, 3), (5, 4)])
def test_too_few_steps_leave_statistics_undefined(count, defined):
    steps = np.arange(1, count + 1)
    found = trajectory_statistics.trajectory_statistics(expected_gram(steps), steps)
    assert np.isfinite(list(found.values())).sum() == defined


def test_a_matrix_that_does_not_move_has_no_statistics():
    gram = np.zeros((6, 6))
    found = trajectory_statistics.trajectory_statistics(gram, np.arange(1, 7))
    assert np.isnan(list(found.values())).all()
    gram[5, 5] = 1.0  # and one that moves at the end has no line before
    found = trajectory_statistics.trajectory_statistics(gram, np.arange(1, 7))
    assert np.isnan([found["linearity_r2"], found["extrapolation_r2"]]).all()


def test_coefficients_are_projections_on_the_first_component_of_known_steps():
    positions = walk(8, 50, 3, drift=0.3)
    component = np.linalg.svd(positions[:5], full_matrices=False)[2][0]
    expected = positions @ component
    found = trajectory_statistics.first_coefficients(positions @ positions.T, 5)
    np.testing.assert_allclose(found, expected * np.sign(expected[4]), atol=1e-8)
