"""Numbers of a spectrum: planted spikes are counted, and noise has none."""

import math

import numpy as np
import pytest
import torch
from scipy.stats import binom

from matrices_at_random import gaussian, generator, scaled, sigma_of, spiked
from rankone.errors import UserError
from rankone.linalg import power_law, spectral_measures
from rankone.statistics import marchenko_pastur
from rankone.statistics.marchenko_pastur import noise_spectrum

SHAPES = [(48, 48), (32, 96), (96, 32)]


@pytest.mark.parametrize("shape", [(60, 60), (40, 200), (200, 41)])
def test_the_variance_of_exact_quantiles_is_recovered(shape):
    sigma = noise_spectrum(*shape) * math.sqrt(2.5 * shape[0] * shape[1])
    assert spectral_measures.bulk_variance(sigma, *shape) == pytest.approx(2.5)
    assert sigma[0] ** 2 < marchenko_pastur.marchenko_pastur_edge(*shape, 2.5)


@pytest.mark.parametrize("shape", [(200, 200), (100, 400)])
def test_the_variance_of_noise_is_recovered_beside_spikes(shape):
    for matrix in (gaussian(*shape), spiked(*shape, 10, count=2)):
        found = spectral_measures.bulk_variance(sigma_of(matrix), *shape)
        assert found == pytest.approx(1, rel=0.06)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("count", [1, 3])
def test_planted_spikes_are_counted(shape, count):
    matrix = 1e-6 * spiked(*shape, 2.0, count)
    assert spectral_measures.outliers(sigma_of(matrix), *shape) == count
    assert spectral_measures.soft_rank(sigma_of(matrix), *shape) < 0.4


@pytest.mark.parametrize(("shape", "rate"), [((24, 24), 0.05), ((32, 96), 0.02)])
def test_noise_rarely_has_outliers(shape, rate):
    found = [
        spectral_measures.outliers(sigma_of(gaussian(*shape, seed)), *shape) > 0
        for seed in range(400)
    ]
    assert sum(found) <= binom.ppf(0.999, 400, rate)


def test_a_product_of_few_factors_has_as_many_outliers():
    matrix = gaussian(40, 3) @ gaussian(3, 50, seed=1)
    assert spectral_measures.outliers(sigma_of(matrix), 40, 50) == 3


def test_participation_and_top_energy_by_hand():
    sigma = np.array([2.0, 1.0, 1.0, 0.0])
    assert spectral_measures.participation_ratio(sigma) == pytest.approx(36 / 18)
    assert spectral_measures.top_energy(sigma, 0.25) == pytest.approx(4 / 6)
    assert spectral_measures.top_energy(sigma, 0.26) == pytest.approx(5 / 6)
    assert spectral_measures.top_energy(sigma, 1) == pytest.approx(1)


def test_statistics_of_a_spectrum_fit_together():
    matrix = scaled(60, 80, seed=1)
    sigma = sigma_of(matrix)
    found = spectral_measures.spectral_statistics(sigma, 60, 80)
    assert found["alpha"] == power_law.fit_power_law(sigma.square().numpy()).alpha
    assert found["hill_alpha"] == pytest.approx(
        power_law.hill(sigma.square().numpy(), 6)
    )
    assert found["stable_rank"] == pytest.approx(1 / found["top_1_energy"])
    assert 1 < found["stable_rank"] < found["participation_ratio"]
    assert found["participation_ratio"] < found["effective_rank"] < 60
    assert found["top_1_energy"] == found["top_1pct_energy"] < found["top_10pct_energy"]
    assert found["outliers"] == spectral_measures.outliers(sigma, 60, 80)


def test_statistics_do_not_depend_on_the_unit():
    matrix = scaled(30, 50, seed=2)
    first, second = (
        spectral_measures.spectral_statistics(sigma_of(factor * matrix), 30, 50)
        for factor in (1, 2.0**-30)
    )
    for name, value in first.items():
        unit = 2.0**-60 if name == "xmin" else 1
        assert second[name] == pytest.approx(value * unit, rel=1e-4), name


def test_a_matrix_of_zeros_has_no_statistics_but_no_error():
    found = spectral_measures.spectral_statistics(np.zeros(8), 8, 12)
    defined = {name for name, value in found.items() if not math.isnan(value)}
    assert defined == {"n_tail", "outliers"}
    fit = power_law.fit_power_law(np.zeros(8))
    assert all(
        math.isnan(p) for _, p in power_law.compare_tails(np.zeros(8), fit).values()
    )
    rng = np.random.default_rng(0)
    assert math.isnan(power_law.goodness_of_fit(np.zeros(8), fit, 5, rng))


def test_windows_have_the_ratio_and_are_the_largest():
    assert spectral_measures.farms_window((64, 256), 1) == (64, 64)
    assert spectral_measures.farms_window((256, 64), 2) == (128, 64)
    assert spectral_measures.farms_window((64, 96), 2) == (48, 96)
    assert spectral_measures.farms_window((3, 2), 100) == (3, 1)


def test_a_matrix_of_that_ratio_has_its_own_alpha():
    matrix = scaled(40, 80, seed=3)
    found = spectral_measures.farms_alpha(matrix, 2, 5, generator())
    assert found == power_law.fit_power_law(power_law.resolved(sigma_of(matrix))).alpha


def test_the_bias_by_shape_goes_away():
    """Matrices of one law (Student's t with 3 degrees of freedom), two shapes."""
    plain, fixed = {}, {}
    for long in (96, 768):
        matrices = [
            torch.from_numpy(np.random.default_rng(seed).standard_t(3, (48, long)))
            for seed in range(10)
        ]
        plain[long] = np.median(
            [power_law.fit_power_law(sigma_of(m).square()).alpha for m in matrices]
        )
        fixed[long] = np.median(
            [
                spectral_measures.farms_alpha(m.float(), 1, 8, generator())
                for m in matrices
            ]
        )
    assert plain[768] > 1.3 * plain[96]
    assert fixed[768] < 1.15 * fixed[96]


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: spectral_measures.outliers([3.0, 2.0], 5, 4), "expected all 4"),
        (lambda: spectral_measures.top_energy([3.0, 2.0], 0), "share of 0"),
        (
            lambda: spectral_measures.farms_alpha(gaussian(4, 4), 0.5, 3, generator()),
            "aspect",
        ),
    ],
)
def test_mistakes_are_explained(call, says):
    with pytest.raises(UserError, match=says):
        call()
