"""Heavy tails of singular values, one matrix at a time, against nulls.

Eigenvalues are the squares of the singular values of one matrix [m, n]; matrices are
never pooled. Exponents are those of the density, p(x) ~ x^-alpha.

No fit says by itself that a spectrum is heavy-tailed because of training: different
scales of the rows, or heavy-tailed entries, do the same. Eigenvalues repel each other,
so that p-values that take them for independent (compare_tails, goodness_of_fit) are
nominal only. What counts is the matrix against random matrices that share some of its
properties (NULLS), above all the scales of its rows and columns (scale_matched).

Sources: Clauset, Shalizi and Newman, SIAM Review 51 (2009) 661 for the fit, the
goodness of fit and the comparisons; Hill, Annals of Statistics 3 (1975) 1163; Vuong,
Econometrica 57 (1989) 307; Marchenko and Pastur, Math. USSR-Sb. 1 (1967) 457;
Johnstone, Annals of Statistics 29 (2001) 295 and Ma, Bernoulli 18 (2012) 322 for the
largest eigenvalue of noise; FARMS (arXiv 2506.06280) for fixed aspect ratios; Phipson
and Smyth, Stat. Appl. Genet. Mol. Biol. 9 (2010) 39 for Monte Carlo p-values.

Fits and comparisons are those of the package powerlaw (the tests compare), but twenty
to a hundred times faster, since nulls need them for every draw, and at the maximum of
the likelihood where its search stops before.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from numpy.typing import ArrayLike
from scipy.optimize import brentq, minimize
from scipy.special import erfc, erfcx, log_ndtr
from scipy.stats import chi2

from rankone.errors import UserError
from rankone.linalg.svd import RESOLUTION

# A fitted tail has at least so many different values.
MIN_TAIL = 3
# Candidates for xmin that are looked at together: small enough for a core's cache.
CANDIDATES = 64
HILL_SHARE = 0.1
# Standard units from a lognormal's mode to xmin; beyond them it is a power law, or a
# normal distribution of the logarithm that xmin does not cut.
MAX_CUT, MIN_CUT = 200.0, -40.0
# Bounds of the exponent of a stretched exponential, over the scale of the logarithms.
MIN_STRETCH, MAX_EXPONENT = 1e-3, 600.0
# Where densities over their maximum count as zero, as exponents of e.
NEGLIGIBLE = 40.0
MIN_LOG_RATE = -35.0
QUADRATURE = np.polynomial.legendre.leggauss(120)


@dataclass(frozen=True)
class PowerLaw:
    """Density (alpha - 1) / xmin * (x / xmin)^-alpha of the values from `xmin` on.

    `alpha_error` is the standard error for independent values, `n_tail` the number of
    values in the tail and `ks` their Kolmogorov-Smirnov distance from the fit.
    """

    alpha: float
    alpha_error: float
    xmin: float
    n_tail: int
    ks: float


def checked(values: ArrayLike | torch.Tensor) -> np.ndarray:
    """One-dimensional float64 copy, descending; UserError unless finite and >= 0."""
    values = np.array(values, dtype=np.float64)
    if values.ndim != 1 or not (np.isfinite(values).all() and (values >= 0).all()):
        raise UserError(
            "A spectrum has negative, infinite or undefined values; expected finite "
            "ones from 0 on: check the weights for NaN."
        )
    return np.sort(values)[::-1].copy()


def resolved(sigma: ArrayLike | torch.Tensor) -> np.ndarray:
    """Eigenvalues of singular values that are more than float32 rounding, descending.

    In float64; updates of low rank have only zeros and rounding after their rank.
    """
    sigma = checked(sigma)
    return np.square(sigma[sigma > RESOLUTION * sigma.max(initial=0.0)])


def whole(sigma: ArrayLike | torch.Tensor, rows: int, columns: int) -> np.ndarray:
    """All min(rows, columns) eigenvalues of a matrix, descending, float64."""
    sigma = checked(sigma)
    if len(sigma) != min(rows, columns):
        raise UserError(
            f"Found {len(sigma)} singular values of a {rows} x {columns} matrix, "
            f"expected all {min(rows, columns)}: set `spectra: true` in the config."
        )
    return np.square(sigma)


def counted(share: float, number: int) -> int:
    """That share of a number of values, rounded up as recipes do, at least 1."""
    if not 0 < share <= 1:
        raise UserError(f"Found a share of {share}; expected more than 0, at most 1.")
    return max(math.ceil(round(share * number, 9)), 1)


def hill(values: ArrayLike, k: int) -> float:
    """Hill's estimate of alpha from the k largest values: 1 + 1 / xi.

    xi is the mean of log(x / x_(k+1)) over them. NaN where it is zero.
    """
    return float(hill_estimates(values, [k])[1][0])


def hill_estimates(
    values: ArrayLike, ks: Sequence[int]
) -> tuple[np.ndarray, np.ndarray]:
    """xi and alpha of hill() for several k: [K] each.

    Zeros are left out; k is at most the number of the others minus 1.
    """
    values = checked(values)
    logs, ks = np.log(values[values > 0]), np.asarray(ks, dtype=int)
    if len(ks) and not (1 <= ks.min() and ks.max() < len(logs)):
        raise UserError(
            f"Found k from {ks.min()} to {ks.max()} for {len(logs)} values above zero; "
            f"expected 1 <= k < {len(logs)}."
        )
    xi = np.cumsum(logs)[ks - 1] / ks - logs[ks]
    return xi, 1 + 1 / np.where(xi > 0, xi, np.nan)


def hill_path(values: ArrayLike, ks: Sequence[int]) -> pd.DataFrame:
    """Hill's estimates for several k: columns k, xi (tail index), alpha = 1 + 1 / xi.

    A power law has a plateau.
    """
    xi, alpha = hill_estimates(values, ks)
    return pd.DataFrame({"k": np.asarray(ks, dtype=int), "xi": xi, "alpha": alpha})


def fit_power_law(eigenvalues: ArrayLike) -> PowerLaw:
    """Maximum likelihood alpha for the xmin with the smallest distance `ks`.

    Clauset, Shalizi and Newman, sections 3.1 and 3.3. As in their programs, every value
    with at least two different ones above it is a candidate for xmin, and `ks` compares
    the fit with the share of values strictly below each value. Zeros are left out; NaN
    with fewer than LEAST_TAIL different values.
    """
    values = checked(eigenvalues)
    values = values[values > 0][::-1]
    points, first = np.unique(values, return_index=True)
    if len(points) < MIN_TAIL:
        return PowerLaw(math.nan, math.nan, math.nan, 0, math.nan)
    sizes, logs = len(values) - first, np.log(points / points[-1])
    sums = np.cumsum(np.log(values / points[-1])[::-1])[::-1][first]
    starts = slice(len(points) - MIN_TAIL + 1)
    # Values that differ in their last bits have a large alpha, not an infinite one.
    least = np.finfo(float).eps * sizes
    slopes = (sizes / np.maximum(sums - sizes * logs, least))[starts]
    distances = ks_distances(logs, first, sizes, slopes)
    best = int(np.argmin(distances))
    error = slopes[best] / math.sqrt(sizes[best])
    return PowerLaw(
        alpha=float(1 + slopes[best]),
        alpha_error=float(error),
        xmin=float(points[best]),
        n_tail=int(sizes[best]),
        ks=float(distances[best]),
    )


def ks_distances(
    logs: np.ndarray, first: np.ndarray, sizes: np.ndarray, slopes: np.ndarray
) -> np.ndarray:
    """Distances of the tails from the first `len(slopes)` of the values, [c].

    `logs` [d] of the different values, ascending; `first` [d] is how many values are
    below each, `sizes` [d] how many are not; `slopes` [c] are alpha - 1.
    """
    found = np.empty(len(slopes))
    for start in range(0, len(slopes), CANDIDATES):
        chosen = slice(start, min(start + CANDIDATES, len(slopes)))
        # Values below a candidate come out at zero on both sides: no distance.
        rise = np.maximum(logs[start:] - logs[chosen, None], 0)
        below = np.maximum(first[start:] - first[chosen, None], 0)
        gap = 1 - np.exp(-slopes[chosen, None] * rise) - below / sizes[chosen, None]
        found[chosen] = np.abs(gap).max(axis=1)
    return found


def compare_tails(
    eigenvalues: ArrayLike, fit: PowerLaw
) -> dict[str, tuple[float, float]]:
    """Log-likelihood ratio R and its p of the power law against each alternative.

    R > 0 favours the power law; all distributions are fitted to the values from
    `fit.xmin` on. p is that of Vuong's test, for the truncated power law, which
    contains the power law, that of the chi-squared test with one degree of freedom
    (Clauset, Shalizi and Newman, section 5.1; conservative, as the rate cannot be
    negative). Where an alternative fits best in a limit that is the power law, R = 0
    and p = 1.
    """
    values = checked(eigenvalues)
    if not fit.n_tail:
        return dict.fromkeys(ALTERNATIVES, (math.nan, math.nan))
    logs = np.log(values[values >= fit.xmin] / fit.xmin)
    own = power_law_density(logs, fit.alpha - 1)
    found = {}
    for name, density in ALTERNATIVES.items():
        other = density(logs)
        ratio = np.zeros(1) if other is None else own - other
        found[name] = likelihood_ratio(ratio, nested=name == "truncated_power_law")
    return found


def likelihood_ratio(ratios: np.ndarray, nested: bool) -> tuple[float, float]:
    """Sum of log-likelihood ratios [n] of the values, and its two-sided p."""
    total, spread = float(ratios.sum()), float(ratios.std())
    if nested:
        return total, float(chi2.sf(2 * abs(total), 1))
    if spread == 0:
        return total, 1.0
    return total, float(erfc(abs(total) / (spread * math.sqrt(2 * len(ratios)))))


# Log densities of w = log(x / xmin) >= 0, at values w [n] and for the parameters with
# the largest likelihood. None where that is reached in a limit that is the power law.


def power_law_density(logs: np.ndarray, slope: float) -> np.ndarray:
    """Log density [n] of w for a power law with alpha = 1 + slope: exponential."""
    return math.log(slope) - slope * logs


def exponential_density(logs: np.ndarray) -> np.ndarray:
    """Log density [n] of w for x exponential from xmin on."""
    grown = np.expm1(logs)
    rate = 1 / grown.mean()
    return math.log(rate) + logs - rate * grown


def lognormal_density(logs: np.ndarray) -> np.ndarray | None:
    """Log density [n] of w for x lognormal: w is normal, cut at 0.

    The likelihood is largest where mean and mean square are the sample's (Cohen, Ann.
    Math. Stat. 21 (1950) 557): one equation for the cut in standard units. It has no
    solution if the mean square is at least twice the mean's square.
    """
    mean, square = logs.mean(), np.square(logs).mean()

    def excess(cut: float) -> float:
        beyond = math.sqrt(2 / math.pi) / erfcx(cut / math.sqrt(2)) - cut
        return (1 - cut * beyond) / beyond**2 - square / mean**2

    if excess(MAX_CUT) <= 0:
        return None
    cut = brentq(excess, MIN_CUT, MAX_CUT) if excess(MIN_CUT) < 0 else MIN_CUT
    sd = mean / (math.sqrt(2 / math.pi) / erfcx(cut / math.sqrt(2)) - cut)
    constant = math.log(sd * math.sqrt(2 * math.pi)) + log_ndtr(-cut)
    return -np.square(logs / sd + cut) / 2 - constant


def stretched_exponential_density(logs: np.ndarray) -> np.ndarray | None:
    """Log density [n] of w for x stretched exponential (Weibull): w is Gompertz.

    For each exponent the best rate is known; the exponent is where the slope of the
    likelihood is zero. There is none under the same condition as for the lognormal.
    """
    mean = logs.mean()

    def rise(exponent: float) -> float:
        grown = np.expm1(exponent * logs)
        return 1 / exponent - np.mean(logs * (grown + 1)) / grown.mean() + mean

    low, high = MIN_STRETCH / mean, MAX_EXPONENT / logs.max()
    if rise(low) <= 0:
        return None
    exponent = brentq(rise, low, high) if rise(high) < 0 else high
    grown = np.expm1(exponent * logs)
    rate = 1 / grown.mean()
    return math.log(exponent * rate) + exponent * logs - rate * grown


def truncated_power_law_density(logs: np.ndarray) -> np.ndarray | None:
    """Log density [n] of w for x^-alpha exp(-rate x), alpha >= 0 and rate >= 0.

    The likelihood is that of an exponential family in w and exp(w), so concave: the
    rate is zero if the mean of x / xmin is at least that of the fitted power law.
    """
    grown = np.expm1(logs)
    mean, size = logs.mean(), grown.mean()
    if mean < 1 and size * (1 / mean - 1) >= 1:
        return None

    def cost(parameters: np.ndarray) -> tuple[float, np.ndarray]:
        slope, rate = parameters[0], math.exp(parameters[1]) / size
        constant, moments = truncated_moments(slope, rate)
        value = slope * mean + rate * size + constant
        return value, np.array([mean - moments[0], rate * (size - moments[1])])

    start, bounds = [0.5 / mean, math.log(0.5)], [(-1, None), (MIN_LOG_RATE, 0)]
    options = {"ftol": 1e-14, "gtol": 1e-9}
    found = minimize(
        cost, start, jac=True, bounds=bounds, method="L-BFGS-B", options=options
    )
    slope, rate = found.x[0], math.exp(found.x[1]) / size
    return -slope * logs - rate * grown - truncated_moments(slope, rate)[0]


def truncated_moments(slope: float, rate: float) -> tuple[float, np.ndarray]:
    """Log of the integral of g(w) = exp(-slope w - rate (e^w - 1)) over w >= 0, and
    the means [2] of w and e^w - 1 under g; slope >= -1.

    The integral is e^rate times the generalised exponential integral of order
    1 + slope at `rate`; by Gauss-Legendre quadrature up to where g vanishes.
    """
    end = math.log1p(2 * NEGLIGIBLE / rate)
    if slope > 0:
        end = min(end, NEGLIGIBLE / slope)
    nodes, weights = end * (QUADRATURE[0] + 1) / 2, end * QUADRATURE[1] / 2
    grown = np.expm1(nodes)
    mass = weights * np.exp(-slope * nodes - rate * grown)
    total = mass.sum()
    return math.log(total), np.array([mass @ nodes, mass @ grown]) / total


ALTERNATIVES = {
    "lognormal": lognormal_density,
    "exponential": exponential_density,
    "stretched_exponential": stretched_exponential_density,
    "truncated_power_law": truncated_power_law_density,
}


def goodness_of_fit(
    sigma: ArrayLike | torch.Tensor,
    fit: PowerLaw,
    draws: int,
    generator: np.random.Generator,
) -> float:
    """Share of bootstrapped spectra that are farther from their own power law.

    Clauset, Shalizi and Newman, section 4.1: each value comes from the fitted tail with
    the tail's share as probability, otherwise from the values below xmin; every
    spectrum is fitted again. Small values speak against a power law. The values are
    drawn independently, while eigenvalues repel each other and so lie closer to any
    smooth distribution: p tends to be too large. NaN without a fit.
    """
    if draws < 1:
        raise UserError(f"Found {draws} bootstrap draws; expected at least 1.")
    values = resolved(sigma)
    if not fit.n_tail:
        return math.nan
    body, share = values[values < fit.xmin], fit.n_tail / len(values)
    farther = 0
    for _ in range(draws):
        n = generator.binomial(len(values), share)
        tail = fit.xmin * (1 - generator.random(n)) ** (-1 / (fit.alpha - 1))
        rest = generator.choice(body, len(values) - n)
        farther += fit_power_law(np.concatenate([tail, rest])).ks >= fit.ks
    return farther / draws
