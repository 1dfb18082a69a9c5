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
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import cache

import numpy as np
import pandas as pd
import torch
from numpy.typing import ArrayLike
from scipy.optimize import brentq, minimize
from scipy.special import erfc, erfcx, log_ndtr
from scipy.stats import chi2, false_discovery_control, wilcoxon

from rankone.errors import UserError
from rankone.statistics import (
    DRAWS,
    LEVEL,
    Estimate,
    clustered_interval,
    noise_spectrum,
)
from rankone.svd import RESOLUTION, frobenius, singular_values
from rankone.updates import effective_rank, stable_rank

Null = Callable[[torch.Tensor, torch.Generator], torch.Tensor]

# A fitted tail has at least so many different values.
LEAST_TAIL = 3
# Candidates for xmin that are looked at together: small enough for a core's cache.
CANDIDATES = 64
HILL_SHARE = 0.1
# Of the Tracy-Widom law of real matrices.
TRACY_WIDOM_SD = math.sqrt(1.6078)
OUTLIER_SDS = 2
# Standard units from a lognormal's mode to xmin; beyond them it is a power law, or a
# normal distribution of the logarithm that xmin does not cut.
FARTHEST, NEAREST = 200.0, -40.0
# Bounds of the exponent of a stretched exponential, over the scale of the logarithms.
LEAST_STRETCH, LARGEST_EXPONENT = 1e-3, 600.0
# Where densities over their maximum count as zero, as exponents of e.
NEGLIGIBLE = 40.0
LEAST_LOG_RATE = -35.0
QUADRATURE = np.polynomial.legendre.leggauss(120)
# Scales of rows and columns are fitted to this accuracy, or as often as this.
SCALE_TOLERANCE, SCALE_ROUNDS = 1e-5, 200


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


@dataclass(frozen=True)
class PairedEstimate(Estimate):
    """Mean difference of pairs with its interval over layers, and Wilcoxon's p."""

    p: float
    matrices: int
    layers: int


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
    if len(points) < LEAST_TAIL:
        return PowerLaw(math.nan, math.nan, math.nan, 0, math.nan)
    sizes, logs = len(values) - first, np.log(points / points[-1])
    sums = np.cumsum(np.log(values / points[-1])[::-1])[::-1][first]
    starts = slice(len(points) - LEAST_TAIL + 1)
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

    if excess(FARTHEST) <= 0:
        return None
    cut = brentq(excess, NEAREST, FARTHEST) if excess(NEAREST) < 0 else NEAREST
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

    low, high = LEAST_STRETCH / mean, LARGEST_EXPONENT / logs.max()
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

    start, bounds = [0.5 / mean, math.log(0.5)], [(-1, None), (LEAST_LOG_RATE, 0)]
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


def marchenko_pastur_edge(rows: int, columns: int, variance: float) -> float:
    """Largest eigenvalue of noise in the limit: variance (sqrt(m) + sqrt(n))^2.

    `variance` is that of an entry; eigenvalues are not divided by a dimension.
    """
    return variance * (math.sqrt(rows) + math.sqrt(columns)) ** 2


def bulk_variance(sigma: ArrayLike | torch.Tensor, rows: int, columns: int) -> float:
    """Variance of the entries of noise with the median eigenvalue of this spectrum.

    Against the Marchenko-Pastur median, since few large eigenvalues hardly move a
    median. Many do: it is too large, and outliers() counts too few.
    """
    median = np.median(whole(sigma, rows, columns))
    return float(median / noise_median(rows, columns))


@cache
def noise_median(rows: int, columns: int) -> float:
    """Median eigenvalue of noise whose entries have variance one."""
    return float(np.median(np.square(noise_spectrum(rows, columns)))) * rows * columns


def outlier_limit(rows: int, columns: int, variance: float) -> float:
    """Edge of noise plus OUTLIER_SDS Tracy-Widom standard deviations.

    Centre and scale are Johnstone's with Ma's corrections of 1/2, which make them
    symmetric in rows and columns and accurate for small matrices.
    """
    first, second = math.sqrt(rows - 0.5), math.sqrt(columns - 0.5)
    centre = (first + second) ** 2
    scale = (first + second) * (1 / first + 1 / second) ** (1 / 3)
    return variance * (centre + OUTLIER_SDS * TRACY_WIDOM_SD * scale)


def outliers(sigma: ArrayLike | torch.Tensor, rows: int, columns: int) -> int:
    """Number of eigenvalues that noise with the same bulk would not have.

    Noise alone has one in less than 1 % of matrices 576 wide, but in 4 % of 24 x 24:
    the median of few values is uncertain.
    """
    limit = outlier_limit(rows, columns, bulk_variance(sigma, rows, columns))
    return int(np.count_nonzero(resolved(sigma) > limit))


def soft_rank(sigma: ArrayLike | torch.Tensor, rows: int, columns: int) -> float:
    """Edge of the bulk over the largest eigenvalue; about 1 for noise, NaN for zero.

    The MP soft rank of Martin and Mahoney, JMLR 22 (2021) 165.
    """
    edge = marchenko_pastur_edge(rows, columns, bulk_variance(sigma, rows, columns))
    largest = whole(sigma, rows, columns)[0]
    return float(edge / largest) if largest > 0 else math.nan


def participation_ratio(sigma: ArrayLike | torch.Tensor) -> float:
    """(sum of s^2)^2 / sum of s^4: the number of equal values; NaN for all zeros."""
    sigma = checked(sigma)
    if not sigma.any():
        return math.nan
    shares = np.square(sigma / sigma[0])
    return float(shares.sum() ** 2 / np.square(shares).sum())


def top_energy(sigma: ArrayLike | torch.Tensor, share: float) -> float:
    """Share of the sum of s^2 in the first values; NaN for all zeros.

    Their number is `share` of all values, rounded up.
    """
    sigma = checked(sigma)
    if not sigma.any():
        return math.nan
    energy = np.square(sigma / sigma[0])
    return float(energy[: counted(share, len(sigma))].sum() / energy.sum())


def statistics(
    sigma: ArrayLike | torch.Tensor, rows: int, columns: int
) -> dict[str, float]:
    """All statistics of the spectrum [min(rows, columns)] of one matrix.

    The fit's fields; `hill_alpha` of the largest HILL_SHARE of the values; the number
    of `outliers`; `soft_rank`, `stable_rank`, `effective_rank`, `participation_ratio`;
    shares of the energy in the first value, 1 % and 10 % of them. NaN where a statistic
    is not defined, as for a matrix of zeros.
    """
    values = resolved(sigma)
    k = counted(HILL_SHARE, min(rows, columns))
    descending = torch.from_numpy(checked(sigma))
    norm = torch.linalg.vector_norm(descending).item()
    return {
        **asdict(fit_power_law(values)),
        "hill_alpha": hill(values, k) if k < len(values) else math.nan,
        "outliers": outliers(sigma, rows, columns),
        "soft_rank": soft_rank(sigma, rows, columns),
        "stable_rank": stable_rank(descending, norm),
        "effective_rank": effective_rank(descending),
        "participation_ratio": participation_ratio(sigma),
        "top_1_energy": top_energy(sigma, 1 / min(rows, columns)),
        "top_1pct_energy": top_energy(sigma, 0.01),
        "top_10pct_energy": top_energy(sigma, 0.1),
    }


def farms_alpha(
    matrix: torch.Tensor, ratio: float, windows: int, generator: torch.Generator
) -> float:
    """alpha of the mean spectrum of sub-matrices of one aspect ratio (FARMS).

    The shape alone makes spectra of long matrices narrower; this is for comparing
    matrices of different shapes. `ratio` >= 1 is the long over the short side. The
    windows are the largest that fit, at places drawn at random (all the same, so one,
    where the matrix has that ratio itself).
    """
    if ratio < 1 or windows < 1:
        raise UserError(
            f"Found an aspect ratio of {ratio} and {windows} windows; expected at "
            "least 1 of each."
        )
    size = window(matrix.shape, ratio)
    room = [n - part for n, part in zip(matrix.shape, size, strict=True)]
    spectra = []
    for _ in range(windows if any(room) else 1):
        top, left = (
            int(torch.randint(n + 1, (), generator=generator, device=generator.device))
            for n in room
        )
        part = matrix[top : top + size[0], left : left + size[1]]
        spectra.append(resolved(singular_values(part)[0].cpu()))
    return fit_power_law(np.concatenate(spectra)).alpha


def window(shape: Sequence[int], ratio: float) -> tuple[int, int]:
    """Rows and columns of the largest part with that long over short side."""
    rows, columns = shape
    short = max(min(min(shape), math.floor(max(shape) / ratio)), 1)
    long = min(round(short * ratio), max(shape))
    return (long, short) if rows >= columns else (short, long)


def noise(like: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Independent standard Gaussian entries of that shape, float32."""
    found = torch.randn(like.shape, generator=generator, device=generator.device)
    return found.to(like.device)


def gaussian(matrix: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Independent Gaussian entries with the matrix's Frobenius norm.

    The norm is the same in every draw, not only the variance: then the test is exact,
    as the spectrum of such noise over its norm is independent of the norm.
    """
    drawn = noise(matrix, generator)
    return drawn * (frobenius(matrix) / frobenius(drawn))


def shuffled(matrix: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """The matrix's entries in random order: the same marginal distribution."""
    order = torch.randperm(matrix.numel(), generator=generator, device=generator.device)
    return matrix.flatten()[order.to(matrix.device)].reshape(matrix.shape)


def sign_flipped(matrix: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Random signs: the same magnitudes and zeros, entry by entry."""
    coins = torch.randint(2, matrix.shape, generator=generator, device=generator.device)
    return matrix * (2 * coins - 1).to(matrix)


def scale_matched(matrix: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Gaussian noise between two diagonal matrices, with the matrix's scales().

    The draw has the scales itself, not only on average: those of the matrix are
    estimates, and noise around estimates has their errors twice. Then the test is
    nearly exact, however different the scales are. The norm is the matrix's.
    """
    drawn = noise(matrix, generator)
    if not matrix.any():
        return torch.zeros_like(drawn)
    # Rows and columns of zeros have no scale; the draw must not have one, either.
    drawn = drawn * matrix.any(dim=1)[:, None] * matrix.any(dim=0)
    rows, columns = (
        quotient(own, other)
        for own, other in zip(scales(matrix), scales(drawn), strict=True)
    )
    drawn = rows[:, None] * drawn * columns
    return drawn * (frobenius(matrix) / frobenius(drawn))


def scales(matrix: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Scales of the rows [m] and columns [n], up to a factor between the two.

    The matrix over them has the same mean square in all rows and columns: the largest
    likelihood for Gaussian entries whose variances have rank 1. Rows and columns are
    scaled in turn (Sinkhorn, Ann. Math. Stat. 35 (1964) 876); zero for those of zeros.

    With zeros elsewhere there may be no such scales. In that share the squares give way
    to the products of their row and column sums, so that few entries do not decide:
    an update seen in bfloat16 is mostly zeros.
    """
    squares = (matrix / frobenius(matrix)).square()
    height, width = squares.sum(dim=1), squares.sum(dim=0)
    rows, columns = (height > 0).float(), (width > 0).float()
    known = (squares.count_nonzero() / (rows.sum() * columns.sum())).item()
    rows, columns = rows / rows.sum(), columns / columns.sum()
    first = rows
    for _ in range(SCALE_ROUNDS):
        sums = known * (first @ squares) + (1 - known) * (first @ height) * width
        second, before = quotient(columns, sums), first
        sums = known * (squares @ second) + (1 - known) * (second @ width) * height
        first = quotient(rows, sums)
        if torch.allclose(first, before, rtol=SCALE_TOLERANCE, atol=0):
            break
    return quotient(first > 0, first.sqrt()), quotient(second > 0, second.sqrt())


def quotient(value: torch.Tensor, by: torch.Tensor) -> torch.Tensor:
    """value / by, zero where `by` is."""
    return torch.where(by > 0, value / by, 0)


NULLS: dict[str, Null] = {
    "gaussian": gaussian,
    "shuffled": shuffled,
    "scale_matched": scale_matched,
    "sign_flipped": sign_flipped,
}


def rounded(
    matrix: torch.Tensor, base: torch.Tensor, generator: torch.Generator
) -> torch.Tensor:
    """What checkpoints in bfloat16 show of a random walk of equal norm from the base.

    The sum of all steps of the walk is Gaussian, with the matrix's norm before the
    rounding; both ends [m, n] are rounded. Bind `base` to use it as a null.
    """
    if base.shape != matrix.shape:
        raise UserError(
            f"Found a base of {tuple(base.shape)} for an update of "
            f"{tuple(matrix.shape)}; expected the weights that the update belongs to."
        )
    start = base.to(matrix)
    end = (start + gaussian(matrix, generator)).bfloat16()
    return end.float() - start.bfloat16().float()


def describe(matrix: torch.Tensor) -> dict[str, float]:
    """statistics() of a matrix [m, n]."""
    return statistics(singular_values(matrix)[0].cpu(), *matrix.shape)


def against_null(
    matrix: torch.Tensor,
    null: Null,
    draws: int,
    seed: int,
    statistic_names: Sequence[str] | None = None,
) -> pd.DataFrame:
    """Statistics of a matrix [m, n] beside those of random matrices of one null.

    One row a statistic (all of statistics() if no names are given): statistic, value,
    null_mean, null_sd, null_low, null_high (a central interval at LEVEL) and the
    two-sided Monte Carlo p. With `draws` draws p is at least 1 / (draws + 1).
    """
    if draws < 1:
        raise UserError(f"Found {draws} draws of a null; expected at least 1.")
    generator = torch.Generator(device=matrix.device).manual_seed(seed)
    observed = describe(matrix)
    names = list(observed if statistic_names is None else statistic_names)
    if unknown := sorted(set(names) - set(observed)):
        raise UserError(
            f"Found {', '.join(unknown)}; expected statistics among "
            f"{', '.join(observed)}."
        )
    drawn = pd.DataFrame([describe(null(matrix, generator)) for _ in range(draws)])
    rows = [
        {"statistic": name, **beside(observed[name], drawn[name].to_numpy(float))}
        for name in names
    ]
    return pd.DataFrame(rows)


def beside(value: float, drawn: np.ndarray) -> dict[str, float]:
    """A value, its null distribution [draws] in short, and its p."""
    low, high = np.quantile(drawn, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return {
        "value": float(value),
        "null_mean": float(drawn.mean()),
        "null_sd": float(drawn.std(ddof=1)) if len(drawn) > 1 else math.nan,
        "null_low": float(low),
        "null_high": float(high),
        "p": monte_carlo_p(value, drawn),
    }


def monte_carlo_p(value: float, drawn: np.ndarray) -> float:
    """(1 + number of draws at least as extreme) / (draws + 1), two-sided.

    Extreme is far from the median of the draws and the value together: they play the
    same part under the null, which makes the test exact. NaN if any of them is.
    """
    together = np.append(drawn, value)
    if np.isnan(together).any():
        return math.nan
    distance = np.abs(together - np.median(together))
    # Equal values may differ in their last bits.
    extreme = distance[:-1] >= distance[-1] * (1 - 1e-12)
    return float((1 + np.count_nonzero(extreme)) / len(together))


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


def paired_over_layers(
    table: pd.DataFrame,
    statistic: str,
    *,
    reference: str = "null_mean",
    seed: int = 0,
    draws: int = DRAWS,
) -> PairedEstimate:
    """Mean of value - reference over the matrices, with layers as clusters.

    `table` has rows of against_null() with a column `layer`; `reference` may name
    another column, such as the statistic of W_0. Matrices of a layer are not
    independent: the interval resamples layers (statistics.clustered_interval); p is
    Wilcoxon's signed-rank test of the layers' means. Undefined pairs are left out.
    One layer says nothing of the spread: its interval is unbounded.
    """
    rows = table[table["statistic"] == statistic]
    pairs = pd.DataFrame(
        {"layer": rows["layer"], "difference": rows["value"] - rows[reference]}
    ).dropna()
    if pairs.empty:
        raise UserError(
            f"Found no pair of {statistic!r} in the table; expected rows with that "
            f"statistic, a value and a {reference}."
        )
    layers = pairs.groupby("layer")["difference"].agg(["sum", "count", "mean"])
    value, n = float(pairs["difference"].mean()), len(layers)
    if n == 1:
        return PairedEstimate(value, -math.inf, math.inf, 1.0, len(pairs), 1)
    rng = np.random.default_rng(seed)
    weights = rng.multinomial(n, np.full(n, 1 / n), size=draws)
    sums, counts = layers["sum"].to_numpy(), layers["count"].to_numpy()
    interval = clustered_interval(value, (weights @ sums) / (weights @ counts), n)
    p = signed_rank_p(layers["mean"].to_numpy())
    return PairedEstimate(value, interval.low, interval.high, p, len(pairs), n)


def signed_rank_p(differences: np.ndarray) -> float:
    """Two-sided p of Wilcoxon's signed-rank test; 1 where nothing differs."""
    return float(wilcoxon(differences).pvalue) if differences.any() else 1.0


def benjamini_hochberg(p: ArrayLike) -> np.ndarray:
    """p-values adjusted for the false discovery rate, in their order; NaN stays.

    Benjamini and Hochberg, JRSS B 57 (1995) 289.
    """
    p = np.array(p, dtype=np.float64)
    known = ~np.isnan(p)
    if known.any():
        p[known] = false_discovery_control(p[known], method="bh")
    return p
