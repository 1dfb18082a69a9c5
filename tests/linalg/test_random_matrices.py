"""Nulls of a spectrum keep what they promise, and tests against them are exact."""

from functools import partial

import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom, kstest

from matrices_at_random import gaussian, generator, scaled, sigma_of, spiked
from rankone.errors import UserError
from rankone.linalg import random_matrices, spectral_measures
from rankone.statistics import hypothesis_tests

LAWS = st.sampled_from(sorted(random_matrices.NULLS))
SIZES = st.tuples(st.integers(1, 30), st.integers(1, 30), st.integers(0, 10**6))


@settings(deadline=None, max_examples=60)
@given(SIZES, LAWS)
def test_every_null_keeps_shape_and_norm_and_is_repeatable(size, law):
    rows, columns, seed = size
    matrix = 1e-6 * scaled(rows, columns, seed, both=True)
    drawn = random_matrices.NULLS[law](matrix, generator(seed))
    assert drawn.shape == matrix.shape and drawn.dtype == torch.float32
    assert drawn.norm().item() == pytest.approx(matrix.norm().item(), rel=1e-4)
    assert torch.equal(drawn, random_matrices.NULLS[law](matrix, generator(seed)))


def test_shuffled_keeps_the_entries_and_nothing_else():
    matrix = scaled(40, 50, seed=1)
    drawn = random_matrices.shuffled(matrix, generator())
    assert torch.equal(drawn.flatten().sort()[0], matrix.flatten().sort()[0])
    assert (drawn == matrix).float().mean() < 0.02


def test_sign_flipped_keeps_magnitudes_and_flips_half():
    matrix = scaled(40, 50, seed=1)
    drawn = random_matrices.sign_flipped(matrix, generator())
    assert torch.equal(drawn.abs(), matrix.abs())
    assert 0.45 < (drawn == matrix).float().mean() < 0.55


@pytest.mark.parametrize("zeros", [0.0, 0.9])
def test_scale_matched_has_the_scales_and_nothing_else(zeros):
    matrix = scaled(120, 150, seed=1, spread=1.5, both=True)
    matrix *= torch.rand(matrix.shape, generator=generator(9)) >= zeros
    matrix[3], matrix[:, 7] = 0, 0
    drawn = random_matrices.scale_matched(matrix, generator())
    assert not drawn[3].any() and not drawn[:, 7].any()
    for wanted, found in zip(
        random_matrices.scales(matrix), random_matrices.scales(drawn), strict=True
    ):
        assert torch.allclose(found / found.max(), wanted / wanted.max(), rtol=1e-3)
    same = (drawn.sign() == matrix.sign())[matrix != 0]
    assert 0.45 < same.float().mean() < 0.55


def test_planted_scales_are_recovered():
    rows, columns = (torch.exp(gaussian(1, n, seed=n)[0]) for n in (200, 300))
    matrix = 1e-6 * rows[:, None] * gaussian(200, 300) * columns
    for wanted, found in zip(
        (rows, columns), random_matrices.scales(matrix), strict=True
    ):
        error = torch.log(found / wanted)
        assert error.std() < 0.08


def test_scales_of_a_sparse_matrix_stay_in_proportion():
    """One entry in a hundred, all of one size: no row or column stands out."""
    matrix = (torch.rand(300, 300, generator=generator()) < 0.01) * gaussian(300, 300)
    drawn = random_matrices.scale_matched(matrix.sign(), generator(1))
    assert sigma_of(drawn)[0] < 1.3 * sigma_of(matrix.sign())[0]


def test_every_null_of_zeros_is_zero():
    for null in random_matrices.NULLS.values():
        assert not null(torch.zeros(4, 6), generator()).any()


def test_rounded_lies_on_bfloat16_steps_and_has_the_norm_where_steps_are_small():
    base, update = gaussian(40, 50), 0.3 * gaussian(40, 50, seed=1)
    drawn = random_matrices.rounded(update, base, generator())
    end = base.bfloat16().float() + drawn
    assert torch.equal(end.bfloat16().float(), end)
    assert drawn.norm().item() == pytest.approx(update.norm().item(), rel=0.02)
    small = random_matrices.rounded(1e-6 * update, base, generator())
    assert (small == 0).float().mean() > 0.99


NAMES = ["hill_alpha", "top_1_energy", "participation_ratio"]


def p_values(matrix, law, draws=39, seed=0, names=NAMES):
    """p of each statistic: its distance from the median of the draws and itself.

    They play the same part under the null, which makes the test exact.
    """
    null, numbers = random_matrices.NULLS[law], generator(seed)
    matrices = [matrix, *(null(matrix, numbers) for _ in range(draws))]
    found = pd.DataFrame(
        spectral_measures.spectral_statistics(sigma_of(each), *each.shape)
        for each in matrices
    )[names]
    distances = (found - found.median()).to_numpy()
    p = hypothesis_tests.monte_carlo_p(distances[0], distances[1:], rtol=1e-12)
    return pd.Series(p, names)


def test_scales_of_rows_are_heavy_against_noise_but_not_against_the_same_scales():
    matrix = scaled(60, 90, seed=5)
    assert (p_values(matrix, "gaussian") <= 1 / 40).all()
    assert (p_values(matrix, "scale_matched") > 0.05).all()


def test_a_learned_direction_is_heavy_against_every_null():
    matrix = spiked(60, 90, 3)
    for law in random_matrices.NULLS:
        assert p_values(matrix, law)["top_1_energy"] == pytest.approx(1 / 40)


def false_positives(make, law, names, matrices=40):
    """Distribution of p, and the share of p <= 0.05, when the null is true."""
    found = [
        p_values(make(seed), law, draws=19, seed=seed + 10**6, names=names)
        for seed in range(matrices)
    ]
    return pd.DataFrame(found)


@pytest.mark.parametrize(
    ("law", "make"),
    [
        ("gaussian", partial(gaussian, 20, 30)),
        ("scale_matched", partial(scaled, 20, 30)),
        ("scale_matched", partial(scaled, 20, 30, both=True)),
        ("sign_flipped", partial(scaled, 20, 30)),
        ("shuffled", partial(gaussian, 20, 30)),
    ],
)
def test_p_is_uniform_where_the_null_is_true(law, make):
    found = false_positives(make, law, ["alpha", "top_1_energy", "effective_rank"])
    for name, p in found.items():
        assert (p <= 0.05).sum() <= binom.ppf(0.999, 40, 0.05), name
        # p is a multiple of 1 / 20: half a step is the least distance from uniform.
        assert kstest(p - 0.025, "uniform").pvalue > 1e-3, name


def test_a_base_of_another_shape_is_refused():
    with pytest.raises(UserError, match="belongs to"):
        random_matrices.rounded(gaussian(4, 4), gaussian(4, 5), generator())


def test_noise_of_a_norm_has_it_and_is_its_generators():
    like = torch.zeros(50, 60)
    first, second, other = (
        random_matrices.noise_of_norm(like, 0.3, generator(seed)) for seed in (1, 1, 2)
    )
    assert torch.equal(first, second) and not torch.equal(first, other)
    assert first.norm().item() == pytest.approx(0.3, rel=1e-5)
