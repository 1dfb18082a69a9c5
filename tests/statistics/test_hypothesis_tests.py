"""p-values by hand."""

import numpy as np
import pytest

from rankone.statistics.hypothesis_tests import (
    benjamini_hochberg,
    mcnemar,
    monte_carlo_p,
    signed_rank_p,
)


def test_mcnemar_is_exact():
    # 2 (1 + 10) / 2^10
    assert mcnemar(1, 9) == pytest.approx(22 / 1024)
    assert mcnemar(0, 0) == 1


def test_monte_carlo_p_counts_draws_that_are_at_least_as_far_on_either_side():
    draws = np.array([0.1, -0.2, 0.3, -0.4])
    assert monte_carlo_p(0.3, draws) == monte_carlo_p(-0.3, draws) == 3 / 5
    assert monte_carlo_p(1.0, draws) == 1 / 5
    assert monte_carlo_p(0.0, draws) == 1


def test_monte_carlo_p_is_that_of_each_deviation_with_its_own_draws():
    draws = np.array([[1.0, 5.0], [2.0, 6.0], [3.0, 7.0]])
    assert monte_carlo_p([2.5, 5.5], draws).tolist() == [2 / 4, 3 / 4]


@pytest.mark.parametrize("tolerance", [{"rtol": 1e-12}, {"atol": 1e-12}])
def test_draws_that_differ_in_their_last_bits_are_ties(tolerance):
    draws = np.array([0.3, 0.1])
    assert 0.1 + 0.2 > 0.3
    assert monte_carlo_p(0.1 + 0.2, draws) == 1 / 3
    assert monte_carlo_p(0.1 + 0.2, draws, **tolerance) == 2 / 3


def test_a_deviation_that_is_unknown_or_has_no_draws_has_no_p():
    assert np.isnan(monte_carlo_p(np.nan, np.ones(3)))
    assert np.isnan(monte_carlo_p([1.0, 2.0], np.empty((0, 1)))).all()


def test_layers_that_do_not_differ_have_a_p_of_one():
    assert signed_rank_p(np.zeros(8)) == 1
    assert signed_rank_p(np.arange(1.0, 9.0)) == pytest.approx(2 / 2**8)


def test_benjamini_hochberg_by_hand():
    found = benjamini_hochberg([0.01, 0.04, np.nan, 0.03, 0.005])
    wanted = [0.02, 0.04, np.nan, 0.04, 0.02]
    np.testing.assert_allclose(found, wanted)
    assert len(benjamini_hochberg([])) == 0
