"""Heavy tails: planted ones are found, nulls keep their promise, noise has none."""

import math
from functools import partial

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.optimize import minimize
from scipy.special import expn
from scipy.stats import binom, kstest, lognorm, weibull_min

from rankone.errors import UserError
from rankone.geometry import against_null
from rankone.linalg import power_law, random_matrices, spectral_measures
from rankone.linalg.svd import singular_values
from rankone.statistics import clustered, hypothesis_tests, marchenko_pastur
from rankone.statistics.marchenko_pastur import noise_spectrum

SHAPES = [(48, 48), (32, 96), (96, 32)]


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def gaussian(rows, columns, seed=0):
    return torch.randn(rows, columns, generator=generator(seed))


def sigma_of(matrix):
    return singular_values(matrix)[0]


def pareto(n, alpha, seed):
    uniform = np.random.default_rng(seed).random(n)
    return (1 - uniform) ** (-1 / (alpha - 1))


def with_body(seed=2):
    """200 uniform values below 1 and a tail of 150 values with alpha 2.2 from 1 on."""
    body = np.random.default_rng(seed).random(200)
    return np.concatenate([body, pareto(150, 2.2, seed + 1)])


def scaled(rows, columns, seed, spread=1.0, both=False):
    """Gaussian noise whose rows (and columns) have lognormal scales."""
    scales = torch.exp(spread * torch.randn(rows, 1, generator=generator(seed + 1000)))
    matrix = scales * gaussian(rows, columns, seed)
    if both:
        across = torch.randn(1, columns, generator=generator(seed + 2000))
        matrix = matrix * torch.exp(spread * across)
    return matrix


def spiked(rows, columns, strength, count=1, seed=0):
    """Noise of variance 1 with `count` directions at `strength` times its edge."""
    edge = math.sqrt(rows) + math.sqrt(columns)
    left, right = (
        torch.linalg.qr(gaussian(n, count, seed + i + 1))[0]
        for i, n in enumerate((rows, columns))
    )
    return gaussian(rows, columns, seed) + strength * edge * left @ right.T


# The fit.


def naive_fit(values):
    """Clauset, Shalizi and Newman's fit, word by word."""
    values = np.sort(values[values > 0])
    found = []
    for xmin in np.unique(values)[:-2]:
        tail = values[values >= xmin]
        slope = len(tail) / np.log(tail / xmin).sum()
        share = np.array([(tail < x).mean() for x in tail])
        distance = np.abs(1 - (tail / xmin) ** -slope - share).max()
        found.append((distance, xmin, 1 + slope, len(tail)))
    return min(found)


@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.integers(0, 40), min_size=3, max_size=90).filter(
        lambda values: len(set(values) - {0}) >= 3
    )
)
def test_the_fit_is_that_of_the_definition_with_ties_and_zeros(values):
    values = np.array(values, dtype=float)
    fit = power_law.fit_power_law(values)
    assert fit.ks == pytest.approx(naive_fit(values)[0], abs=1e-12)
    tail = values[values >= fit.xmin]
    slope = len(tail) / np.log(tail / fit.xmin).sum()
    assert fit.alpha == pytest.approx(1 + slope)
    assert fit.alpha_error == pytest.approx(slope / math.sqrt(len(tail)))
    assert fit.n_tail == len(tail)


def test_the_fit_is_that_of_the_definition_for_many_candidates():
    values = with_body()
    fit = power_law.fit_power_law(values)
    assert (fit.ks, fit.xmin, fit.alpha, fit.n_tail) == pytest.approx(naive_fit(values))


# powerlaw 2.0.0, Fit(values, parameter_ranges={"alpha": [0, None]}): alpha, xmin, D and
# the size of the tail.
REFERENCE_FITS = {
    "pareto": (2.5297297014051994, 1.0233611159206566, 0.021459521123951886, 287),
    "body": (2.4393981188163654, 1.1963054120069532, 0.040785213017754396, 128),
    "ties": (2.4060148260331307, 1.1, 0.03889192612364922, 288),
    "lognormal": (2.7264541941627387, 1.8389899723475531, 0.07302192167751953, 103),
}


def sample(name):
    """The values that the reference was computed for."""
    if name == "body":
        return with_body()
    if name == "lognormal":
        return np.exp(np.random.default_rng(5).normal(size=400))
    if name == "weibull":
        return -np.log(1 - np.random.default_rng(6).random(300))
    if name == "ties":
        return np.round(pareto(300, 2.5, 4), 1)
    return pareto(300, 2.5, 1)


@pytest.mark.parametrize("name", REFERENCE_FITS)
def test_the_fit_is_that_of_the_package_powerlaw(name):
    fit = power_law.fit_power_law(sample(name))
    found = (fit.alpha, fit.xmin, fit.ks, fit.n_tail)
    assert found == pytest.approx(REFERENCE_FITS[name], rel=1e-9)


@given(st.floats(-30, 30), st.integers(0, 100))
@settings(deadline=None, max_examples=20)
def test_the_fit_does_not_depend_on_the_unit(exponent, seed):
    values = np.random.default_rng(seed).lognormal(size=60)
    fit, other = (power_law.fit_power_law(values * u) for u in (1, 10.0**exponent))
    assert other.alpha == pytest.approx(fit.alpha, rel=1e-9)
    assert other.n_tail == fit.n_tail
    assert other.xmin == pytest.approx(fit.xmin * 10.0**exponent)


@pytest.mark.parametrize("alpha", [1.8, 2.5, 4.0])
def test_a_planted_exponent_is_recovered(alpha):
    fit = power_law.fit_power_law(pareto(3000, alpha, seed=1))
    assert abs(fit.alpha - alpha) < 4 * fit.alpha_error
    assert fit.alpha_error < 0.1 * alpha


def test_a_planted_beginning_of_the_tail_is_recovered():
    found = [power_law.fit_power_law(with_body(seed)) for seed in range(10, 20)]
    assert 0.8 < np.median([fit.xmin for fit in found]) < 1.5
    assert np.median([fit.alpha for fit in found]) == pytest.approx(2.2, abs=0.15)


def test_hill_is_exact_for_quantiles_of_a_power_law():
    quantiles = ((np.arange(20_000) + 0.5) / 20_000) ** (-1 / 1.5)
    assert power_law.hill(quantiles, 2000) == pytest.approx(2.5, rel=2e-3)


def test_hill_by_hand_and_its_path():
    path = power_law.hill_path([1, 8, 2, 0, 4], [1, 2, 3])
    assert path["xi"].to_numpy() == pytest.approx(np.log(2) * np.array([1, 1.5, 2]))
    assert path["alpha"].to_numpy() == pytest.approx(1 + 1 / path["xi"].to_numpy())
    assert power_law.hill([1, 8, 2, 0, 4], 2) == path["alpha"][1]


# Comparisons with other distributions.


# powerlaw 2.0.0, distribution_compare("power_law", ...) from this xmin on: R and p.
# (Only where its search ends at the maximum: for the pareto sample it does not.)
REFERENCE_RATIOS = {
    ("body", 0.5481200572477876): {
        "lognormal": (-11.024262542028726, 0.005911789154228244),
        "exponential": (23.306999451903643, 0.10918666650230355),
        "stretched_exponential": (-10.002959107533758, 0.0038598783340101934),
        "truncated_power_law": (-8.389031868246867, 4.201621754318374e-05),
    },
    ("lognormal", 0.5623753678538687): {
        "lognormal": (-20.998197202170985, 5.0110740143968825e-05),
        "exponential": (-8.021001576499831, 0.462606692080744),
        "stretched_exponential": (-21.240072532186172, 3.014657047189691e-05),
        "truncated_power_law": (-20.913292914296118, 9.973799564022556e-11),
    },
    ("lognormal", 1.8389899723475531): {
        "lognormal": (-2.0672779254009153, 0.20464737182537207),
        "exponential": (1.125346766402597, 0.7983022973000637),
        "stretched_exponential": (-2.234580960675481, 0.1889809731418235),
        "truncated_power_law": (-2.374138812108765, 0.029327634949464443),
    },
    ("weibull", 0.3578048268233472): {
        "lognormal": (-46.020275294581964, 5.3091175390239965e-09),
        "exponential": (-49.06490788713537, 1.318408393419425e-12),
        "stretched_exponential": (-49.79730213182439, 5.00185503111866e-10),
        "truncated_power_law": (-49.06490673338451, 0.0),
    },
}


def fitted_from(values, xmin):
    """The power law with the largest likelihood from a given xmin on."""
    logs = np.log(values[values >= xmin] / xmin)
    slope = 1 / logs.mean()
    error = slope / math.sqrt(len(logs))
    return power_law.PowerLaw(1 + slope, error, xmin, len(logs), 0.1)


@pytest.mark.parametrize("case", REFERENCE_RATIOS, ids=str)
def test_ratios_are_those_of_the_package_powerlaw(case):
    name, xmin = case
    values = sample(name)
    found = power_law.compare_tails(values, fitted_from(values, xmin))
    assert set(found) == set(REFERENCE_RATIOS[case])
    for other, (ratio, p) in REFERENCE_RATIOS[case].items():
        assert found[other][0] == pytest.approx(ratio, abs=1e-3), other
        assert found[other][1] == pytest.approx(p, rel=1e-2, abs=1e-12), other


def best(density, start, logs):
    """Largest sum of log densities of w, by a general search from several starts."""
    found = [
        minimize(
            lambda p: -np.sum(density(p, logs)),
            np.array(start) + shift,
            method="Nelder-Mead",
            options={"xatol": 1e-9, "fatol": 1e-9, "maxiter": 4000},
        )
        for shift in (-0.2, 0, 0.4)
    ]
    return -min(result.fun for result in found)


def lognormal(p, logs):
    spread = abs(p[1]) + 1e-6
    law = lognorm(spread, scale=np.exp(p[0]))
    return law.logpdf(np.exp(logs)) - law.logsf(1) + logs


def weibull(p, logs):
    law = weibull_min(np.exp(p[0]), scale=np.exp(p[1]))
    return law.logpdf(np.exp(logs)) - law.logsf(1) + logs


def truncated(p, logs):
    slope, rate = max(p[0], 0) - 1, abs(p[1]) + 1e-12
    area = quad(lambda w: np.exp(-slope * w - rate * np.expm1(w)), 0, 12)[0]
    return -slope * logs - rate * np.expm1(logs) - np.log(area)


TAILS = {
    "lognormal": np.random.default_rng(5).normal(0.5, 0.7, size=400),
    "exponential": np.log1p(np.random.default_rng(6).exponential(size=300)),
    "pareto": np.log(pareto(300, 2.5, 4)),
}


@pytest.mark.parametrize("tail", TAILS)
@pytest.mark.parametrize(
    ("name", "density", "start"),
    [
        ("lognormal", lognormal, (0.5, 0.7)),
        ("stretched_exponential", weibull, (-0.2, 0.0)),
        ("truncated_power_law", truncated, (1.0, 0.3)),
    ],
)
def test_alternatives_have_the_largest_likelihood(tail, name, density, start):
    logs = TAILS[tail] - TAILS[tail].min()
    found = power_law.ALTERNATIVES[name](logs)
    if found is None:
        found = power_law.power_law_density(logs, 1 / logs.mean())
    searched = best(density, start, logs)
    assert found.sum() >= searched - 1e-4
    # A search whose goal is far away stops before it.
    assert found.sum() <= searched + (0.5 if tail == "pareto" else 1e-4)


@pytest.mark.parametrize("order", [0, 1, 2, 5])
@pytest.mark.parametrize("rate", [1e-8, 1e-2, 1.0, 50.0])
def test_the_constant_of_a_truncated_power_law_is_the_exponential_integral(order, rate):
    found = power_law.truncated_moments(order - 1, rate)[0]
    assert found == pytest.approx(np.log(expn(order, rate)) + rate, abs=1e-9)


def test_a_power_law_is_preferred_where_it_is_true_and_not_where_it_is_not():
    true = pareto(1500, 2.5, seed=3)
    found = power_law.compare_tails(true, power_law.fit_power_law(true))
    assert found["exponential"][0] > 0 and found["exponential"][1] < 1e-3
    assert found["truncated_power_law"][1] > 0.05
    assert abs(found["lognormal"][0]) < 4
    false = 1 + np.random.default_rng(4).exponential(size=1500)
    for ratio, p in power_law.compare_tails(false, fitted_from(false, 1.0)).values():
        assert ratio < 0 and p < 1e-3


def test_true_power_laws_are_rarely_rejected():
    """The nested test rejects at most 5 % of true power laws: it is conservative."""
    rejected = 0
    for seed in range(200):
        values = pareto(100, 2.5, seed)
        fit = fitted_from(values, 1.0)
        rejected += (
            power_law.compare_tails(values, fit)["truncated_power_law"][1] < 0.05
        )
    assert rejected <= binom.ppf(0.999, 200, 0.05)


# The bulk.


def test_the_edge_is_the_closed_form():
    assert marchenko_pastur.marchenko_pastur_edge(100, 400, 0.25) == pytest.approx(225)


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


# Scalars.


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


def test_rounding_after_the_rank_is_no_part_of_the_tail():
    sigma = np.concatenate([np.linspace(9, 1, 16), np.full(48, 1e-8)])
    assert len(power_law.resolved(sigma)) == 16


# Fixed aspect ratios.


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


# Nulls.

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


# Matrices against nulls.

NAMES = ["hill_alpha", "top_1_energy", "participation_ratio"]


def p_values(matrix, law, draws=39, seed=0, names=NAMES):
    table = against_null.against_null(
        matrix, random_matrices.NULLS[law], draws, seed, names
    )
    return table.set_index("statistic")["p"]


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


def test_the_table_is_what_the_draws_say():
    matrix = scaled(12, 18, seed=1)
    table = against_null.against_null(matrix, random_matrices.gaussian, 9, 3).set_index(
        "statistic"
    )
    assert list(table.index) == list(
        spectral_measures.spectral_statistics(sigma_of(matrix), 12, 18)
    )
    same = generator(3)
    drawn = [
        spectral_measures.spectral_statistics(
            sigma_of(random_matrices.gaussian(matrix, same)), 12, 18
        )["alpha"]
        for _ in range(9)
    ]
    row = table.loc["alpha"]
    assert row["null_mean"] == pytest.approx(np.mean(drawn))
    assert row["null_sd"] == pytest.approx(np.std(drawn, ddof=1))
    assert row["null_low"] == pytest.approx(np.quantile(drawn, 0.025))
    assert row["p"] == hypothesis_tests.monte_carlo_p(row["value"], np.array(drawn))


def test_monte_carlo_p_by_hand():
    drawn = np.arange(19.0)
    assert hypothesis_tests.monte_carlo_p(100, drawn) == pytest.approx(1 / 20)
    assert hypothesis_tests.monte_carlo_p(-100, drawn) == pytest.approx(1 / 20)
    assert hypothesis_tests.monte_carlo_p(9, drawn) == 1
    assert hypothesis_tests.monte_carlo_p(0, np.zeros(19)) == 1
    assert math.isnan(hypothesis_tests.monte_carlo_p(math.nan, drawn))


def test_a_power_law_passes_the_goodness_of_fit_and_a_broken_one_does_not():
    rng = np.random.default_rng(0)
    true = np.sqrt(with_body())
    fit = power_law.fit_power_law(np.square(true))
    assert power_law.goodness_of_fit(true, fit, 40, rng) > 0.1
    logs = np.concatenate([np.linspace(0, 0.2, 200), np.linspace(1, 1.2, 200)])
    false = np.exp(logs)
    fit = power_law.fit_power_law(np.square(false))
    assert power_law.goodness_of_fit(false, fit, 40, rng) < 0.05


# Over layers.


def layers(effect, seed, count=12, spread=1.0):
    """A table of 7 matrices a layer with a shared deviation in each layer."""
    rng = np.random.default_rng(seed)
    shared = rng.normal(effect, spread, count)
    values = np.repeat(shared, 7) + rng.normal(0, 0.3, count * 7)
    reference = rng.normal(5, 1, count * 7)
    return pd.DataFrame(
        {
            "layer": np.repeat(np.arange(count), 7),
            "statistic": "alpha",
            "value": reference + values,
            "null_mean": reference,
        }
    )


def test_a_planted_difference_is_recovered_over_layers():
    found = clustered.paired_over_layers(layers(-2, seed=0), "alpha")
    assert found.low < -2 < found.high < 0
    assert found.p < 0.01
    assert (found.matrices, found.layers) == (84, 12)


def test_layers_without_a_difference_give_few_false_alarms():
    found = [
        clustered.paired_over_layers(layers(0, seed), "alpha", draws=500)
        for seed in range(200)
    ]
    assert sum(f.p < 0.05 for f in found) <= binom.ppf(0.999, 200, 0.05)
    # The percentile interval of 12 clusters is somewhat too narrow.
    assert sum(not f.includes_zero for f in found) <= binom.ppf(0.999, 200, 0.1)


def test_one_layer_says_nothing_and_undefined_pairs_are_left_out():
    one = clustered.paired_over_layers(layers(-2, seed=0, count=1), "alpha")
    assert one.includes_zero and one.p == 1
    table = layers(-2, seed=0)
    table.loc[:13, "value"] = np.nan
    assert clustered.paired_over_layers(table, "alpha").layers == 10
    table = table.rename(columns={"null_mean": "base"})
    same = clustered.paired_over_layers(table, "alpha", reference="value")
    assert (same.value, same.p) == (0, 1)


def test_benjamini_hochberg_by_hand():
    found = hypothesis_tests.benjamini_hochberg([0.01, 0.04, np.nan, 0.03, 0.005])
    wanted = [0.02, 0.04, np.nan, 0.04, 0.02]
    np.testing.assert_allclose(found, wanted)
    assert len(hypothesis_tests.benjamini_hochberg([])) == 0


# What a user may get wrong.


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: power_law.fit_power_law([1.0, np.nan, 2.0]), "check the weights"),
        (lambda: power_law.fit_power_law([1.0, -1.0, 2.0]), "check the weights"),
        (lambda: power_law.hill([1.0, 2.0, 3.0], 3), "1 <= k < 3"),
        (lambda: spectral_measures.outliers([3.0, 2.0], 5, 4), "expected all 4"),
        (lambda: spectral_measures.top_energy([3.0, 2.0], 0), "share of 0"),
        (
            lambda: spectral_measures.farms_alpha(gaussian(4, 4), 0.5, 3, generator()),
            "aspect",
        ),
        (
            lambda: random_matrices.rounded(
                gaussian(4, 4), gaussian(4, 5), generator()
            ),
            "belongs to",
        ),
        (
            lambda: against_null.against_null(
                gaussian(4, 4), random_matrices.gaussian, 0, 0
            ),
            "at least 1",
        ),
        (
            lambda: against_null.against_null(
                gaussian(4, 4), random_matrices.gaussian, 1, 0, ["rank"]
            ),
            "among alpha",
        ),
        (
            lambda: power_law.goodness_of_fit(
                [1.0], power_law.fit_power_law([]), 0, np.random.default_rng(0)
            ),
            "at least 1",
        ),
        (
            lambda: clustered.paired_over_layers(layers(0, 0), "beta"),
            "no pair of 'beta'",
        ),
    ],
)
def test_mistakes_are_explained(call, says):
    with pytest.raises(UserError, match=says):
        call()
