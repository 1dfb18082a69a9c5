"""The spectrum of noise is that of Gaussian matrices."""

import numpy as np
import pytest

from rankone.statistics.marchenko_pastur import (
    marchenko_pastur_edge,
    noise_norm_share,
    noise_spectrum,
)


def rng(seed=0):
    return np.random.default_rng(seed)


@pytest.mark.parametrize("shape", [(60, 60), (40, 120), (200, 80)])
def test_noise_spectrum_is_that_of_gaussian_matrices(shape):
    draws = [
        np.linalg.svd(rng(seed).normal(size=shape), compute_uv=False)
        for seed in range(20)
    ]
    simulated = np.mean([s / np.linalg.norm(s) for s in draws], axis=0)
    expected = noise_spectrum(*shape)
    assert np.square(expected).sum() == pytest.approx(1)
    assert np.abs(expected - simulated).max() < 0.03 * expected[0]
    assert noise_norm_share(*shape) == pytest.approx(simulated[0], rel=0.05)


def test_a_planted_direction_stands_out_of_the_noise_share():
    noise = rng().normal(size=(100, 100))
    planted = noise + 60 * np.ones((100, 100)) / 100
    sigma = np.linalg.svd(planted, compute_uv=False)
    assert sigma[0] / np.linalg.norm(sigma) > 2 * noise_norm_share(100, 100)


def test_the_edge_is_the_closed_form():
    assert marchenko_pastur_edge(100, 400, 0.25) == pytest.approx(225)
