"""Random walks as nulls of trajectories, with momentum, drift and a first triplet.

D_s and D_t share the increments up to s, so that the first vectors of a random walk
align over time as well: a walk here has the Gram matrix of the measured updates.

Sources: Benaych-Georges and Nadakuditi, J. Multivariate Anal. 111 (2012) 120 (spikes);
Antognini and Sohl-Dickstein, NeurIPS 2018 (random walks).
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from scipy.optimize import least_squares
from scipy.special import gammaln
from scipy.stats import wishart

from rankone.dynamics.alignment import (
    ACROSS_LAYERS,
    ACROSS_SEEDS,
    CONTRAST,
    LEFT,
    RIGHT,
    first_cosines,
    step_links,
)
from rankone.dynamics.trajectory_statistics import trajectory_statistics
from rankone.linalg.svd import Factors, leading

NULL_COLUMNS = [
    *("kind", "side", "rows", "columns", "step", "other"),
    *("mean", "sd", "error", "draws"),
]
# Fewer simulated pairs with identifiable directions do not give a mean and a spread.
MIN_DRAWS = 20
# Adam's: the correlation of a walk's increments that momentum alone would make.
MOMENTUM = 0.9
# Beyond, correlated noise cannot be told from a drift within a run's length.
MAX_RHO = 0.99


def random_cosine(dimension: int) -> tuple[float, float]:
    """Mean and standard deviation of |cos| of two independent directions in R^d.

    cos^2 has the law Beta(1/2, (d - 1)/2); the mean is near sqrt(2 / (pi d)).
    """
    logarithm = gammaln(dimension / 2) - gammaln((dimension + 1) / 2)
    mean = float(np.exp(logarithm) / np.sqrt(np.pi))
    return mean, float(np.sqrt(max(1 / dimension - mean**2, 0.0)))


def as_correlation(matrix: np.ndarray) -> np.ndarray:
    """A Gram matrix [T, T] with ones on its diagonal; zeros stay where they are."""
    norms = np.sqrt(np.diag(matrix))
    norms = np.where(norms > 0, norms, 1.0)
    return matrix / np.outer(norms, norms)


def mean_gram(grams: Iterable[np.ndarray]) -> np.ndarray:
    """Mean Gram matrix [T, T] of several trajectories, each over its mean square.

    The first vectors do not change with the size of an update, so that a null of
    several matrices together needs no more.
    """
    return np.mean([each / np.trace(each) for each in grams], axis=0)


def expected_gram(
    steps: Sequence[int], rho: float = 0.0, drift_snr: float = 0.0
) -> np.ndarray:
    """Gram matrix [T, T] of a random walk at `steps`, relative to its noise at the end.

    Noise increments of single steps have AR(1) correlation `rho`. `drift_snr` is the
    length of a drift's path over that of the noise, both at the last step; for rho = 0
    this is |drift| sqrt(T) / sigma.
    """
    if not -1 < rho < 1:
        raise ValueError(f"rho {rho}: expected a correlation between -1 and 1")
    times = np.asarray(steps, dtype=float)
    variance = path_variance(times, rho)
    lags = path_variance(np.abs(times[:, None] - times), rho)
    noise = (variance[:, None] + variance - lags) / 2
    drift = np.outer(times, times) / times[-1] ** 2
    return noise / variance[-1] + drift_snr**2 * drift


def path_variance(counts: np.ndarray, rho: float) -> np.ndarray:
    """Variance of the sum of that many AR(1) terms of variance one."""
    short = 2 * rho * (1 - rho**counts) / (1 - rho) ** 2
    return counts * (1 + rho) / (1 - rho) - short


@dataclass(frozen=True)
class Increments:
    """What a Gram matrix says of the steps between the updates.

    `rho` and `drift_snr` are those of expected_gram(); `exponent` is that of
    ||D_t||^2 ~ t^exponent, 1 for a random walk and 2 for a drift. NaN where there are
    too few steps: three for `rho` and `drift_snr`, two for `exponent`.
    """

    rho: float
    drift_snr: float
    exponent: float


def increment_statistics(gram: np.ndarray, steps: Sequence[int]) -> Increments:
    """Moments of a trajectory from <D_s, D_t> [T, T] at ascending steps > 0.

    `rho` and `drift_snr` make the correlations of the increments as close as they get;
    those of their sizes, which follow the learning rate, are left aside.
    """
    times, squares = np.asarray(steps, dtype=float), np.diag(gram)
    if len(times) < 2 or not squares.all():
        return Increments(np.nan, np.nan, np.nan)
    exponent = float(np.polyfit(np.log(times), np.log(squares), 1)[0])
    if len(times) < 3:
        return Increments(np.nan, np.nan, exponent)
    wanted = increment_correlations(gram)

    def error(point: np.ndarray) -> np.ndarray:
        model = expected_gram(times, point[0], odds_root(point[1]))
        return increment_correlations(model) - wanted

    bounds = (-MAX_RHO, 0), (MAX_RHO, 1 - 1e-6)
    starts = [(rho, share) for rho in (0.0, 0.8) for share in (0.1, 0.7)]
    fits = [least_squares(error, start, bounds=bounds) for start in starts]
    rho, share = min(fits, key=lambda fit: fit.cost).x
    return Increments(float(rho), odds_root(share), exponent)


def odds_root(share: float) -> float:
    """Ratio of two lengths from the share of the first in the sum of their squares."""
    return float(np.sqrt(share / (1 - share)))


def increment_correlations(gram: np.ndarray) -> np.ndarray:
    """Correlations [T (T - 1) / 2] of the T increments, the first one from W_0."""
    padded = np.pad(gram, ((1, 0), (1, 0)))
    inner = np.diff(np.diff(padded, axis=0), axis=1)
    return as_correlation(inner)[np.triu_indices(len(gram), 1)]


def spike_strength(
    norm_share: np.ndarray | float, rows: int, columns: int
) -> np.ndarray | float:
    """Strength of a triplet over ||update||_F whose sigma_1 / ||update||_F is given.

    Independent noise in the rest makes sigma_1 larger than the triplet; the relation is
    Benaych-Georges and Nadakuditi's. 0 where noise alone may give that share.
    """
    square = np.square(norm_share)
    # sigma_1^2 x = (x + (1 - x) / rows)(x + (1 - x) / columns), x the strength squared.
    lead = (1 - 1 / rows) * (1 - 1 / columns)
    middle = (1 - 1 / rows) / columns + (1 - 1 / columns) / rows - square
    rest = middle**2 - 4 * lead / (rows * columns)
    found = (np.sqrt(np.maximum(rest, 0)) - middle) / (2 * lead)
    return np.sqrt(np.where((rest > 0) & (middle < 0), np.minimum(found, 1), 0.0))


def root(matrix: np.ndarray) -> np.ndarray:
    """A matrix R [T, T] with R R' = a positive semidefinite matrix, or nearly one."""
    values, vectors = np.linalg.eigh(matrix)
    return vectors * np.sqrt(np.maximum(values, 0))


def gaussian(
    correlation: np.ndarray, dimension: int, generator: torch.Generator
) -> torch.Tensor:
    """T Gaussian vectors [T, d] float32 of mean square length one, so correlated."""
    size, device = (len(correlation), dimension), generator.device
    noise = torch.randn(size, generator=generator, device=device)
    return torch.as_tensor(root(correlation)).to(noise) @ noise / dimension**0.5


def random_walk(
    rows: int,
    columns: int,
    gram: np.ndarray,
    generator: torch.Generator,
    spike: Sequence[float] | float = 0.0,
) -> list[Factors]:
    """First triplets of T simulated_updates() of that shape."""
    updates = simulated_updates(rows, columns, gram, generator, spike)
    return [leading(update, 1) for update in updates]


def simulated_updates(
    rows: int,
    columns: int,
    gram: np.ndarray,
    generator: torch.Generator,
    spike: Sequence[float] | float = 0.0,
) -> torch.Tensor:
    """Updates [T, rows, columns] float32 of a trajectory without a preferred side.

    They are Gaussian with the correlations of `gram` [T, T]: that of
    expected_gram() for a walk, along a random full-rank drift if it has one; or a
    measured one, which has all of this as it was. `spike`, one value or T, is the
    strength of a triplet over the norm, as from spike_strength(); its vectors turn
    equally on both sides, and so that it has the same correlations. Runs on the device
    of `generator`.
    """
    correlation = as_correlation(gram)
    share = torch.as_tensor(np.broadcast_to(spike, len(gram)).copy())
    share = share.to(generator.device, torch.float32)[:, None, None]
    updates = gaussian(correlation, rows * columns, generator).view(-1, rows, columns)
    if share.any():
        each = np.sqrt(np.maximum(correlation, 0))
        turning = [gaussian(each, size, generator) for size in (rows, columns)]
        left, right = (torch.nn.functional.normalize(side) for side in turning)
        # In place: fresh memory of this size costs more than the arithmetic.
        updates *= (1 - share**2).sqrt()
        updates.baddbmm_(share * left[:, :, None], right[:, None, :])
    return updates


def step_shuffled(
    updates: Sequence[torch.Tensor], generator: torch.Generator
) -> list[Factors]:
    """First triplets of a surrogate: the measured increments in random order.

    What every increment has by itself, a preferred side as well, stays: this is a null
    for the order of the steps. Steps should be evenly spaced. `updates` are T of
    [out, in].
    """
    stack = torch.stack(list(updates))
    increments = stack.diff(dim=0, prepend=torch.zeros_like(stack[:1]))
    order = torch.randperm(len(stack), generator=generator)
    return [leading(update, 1) for update in increments[order].cumsum(0)]


def shuffled_null(
    steps: Sequence[int],
    updates: Sequence[torch.Tensor],
    generator: torch.Generator,
    draws: int,
) -> pd.DataFrame:
    """Means of the pairs over time in `draws` of step_shuffled().

    Rows as NULL_COLUMNS; one matrix has few draws, and means over matrices many.
    """
    each = (step_shuffled(updates, generator) for _ in range(draws))
    return simulated_null(steps, each, least=1)


def simulated_null(
    steps: Sequence[int],
    draws: Iterable[Sequence[Factors]],
    symmetric: bool = False,
    least: int = MIN_DRAWS,
) -> pd.DataFrame:
    """Null of the pairs over time from simulated trajectories of one shape.

    `draws` are first triplets at `steps`, as from random_walk() or step_shuffled().
    Selection is that of pairs(): both directions identifiable. Rows as NULL_COLUMNS
    for both sides and their difference: mean, standard deviation, number of draws, and
    the standard error of the mean in units of the standard deviation. With fewer than
    `least` mean and sd are NaN. `symmetric` says that both sides have the same
    law, so that their difference has mean zero.
    """
    draws = list(draws)
    drawn = [first_cosines(each) for each in draws]
    left, right = (np.stack([each[side] for each in drawn]) for side in (LEFT, RIGHT))
    values = {LEFT: left, RIGHT: right, CONTRAST: left - right}
    if symmetric:
        both = np.concatenate([left, right])
        difference = np.concatenate([left - right, right - left])
        values = {LEFT: both, RIGHT: both, CONTRAST: difference}
    first = draws[0][0]
    shape = {"rows": len(first.left), "columns": first.right.shape[1]}
    rows = []
    for side, sample in values.items():
        count = np.isfinite(left).sum(0)
        exact = symmetric and side == CONTRAST
        for kind, links in step_links(len(steps)).items():
            for i, j in links:
                ends = {"kind": kind, "step": steps[i], "other": str(steps[j])}
                known = sample[:, i, j][np.isfinite(sample[:, i, j])]
                found = summary(known, int(count[i, j]), exact, least)
                rows.append({"side": side, **shape, **ends, **found})
    return pd.DataFrame(rows, columns=NULL_COLUMNS)


def summary(sample: np.ndarray, draws: int, exact: bool, least: int) -> dict:
    """Mean, standard deviation and error of a sample."""
    if draws < least:
        return {"mean": np.nan, "sd": np.nan, "error": np.nan, "draws": draws}
    error = 0.0 if exact else draws**-0.5
    sd = sample.std(ddof=1) if len(sample) > 1 else np.nan
    return {"mean": sample.mean(), "sd": sd, "error": error, "draws": draws}


def walk_alignment(
    rows: int,
    columns: int,
    steps: Sequence[int],
    gram: np.ndarray,
    generator: torch.Generator,
    spike: Sequence[float] | float = 0.0,
    draws: int = 100,
) -> pd.DataFrame:
    """Null of the pairs over time of one shape, from `draws` of random_walk().

    One serves all matrices of a shape with about these correlations. Without a spike a
    large matrix hardly ever has an identifiable direction (8 % of walks at 576 x 576,
    none in 48 at 1536 x 576), and so no null: the measured spike belongs to it.
    """
    walks = (random_walk(rows, columns, gram, generator, spike) for _ in range(draws))
    return simulated_null(steps, walks, symmetric=rows == columns)


def independent_alignment(rows: int, columns: int) -> pd.DataFrame:
    """Null of the pairs across layers and seeds of one shape: independent directions.

    In closed form: `draws` and `error` are 0.
    """
    (left, left_sd), (right, right_sd) = map(random_cosine, (rows, columns))
    sides = {
        LEFT: (left, left_sd),
        RIGHT: (right, right_sd),
        CONTRAST: (left - right, float(np.hypot(left_sd, right_sd))),
    }
    same = {"rows": rows, "columns": columns, "step": 0, "other": ""}
    same |= {"error": 0.0, "draws": 0}
    found = [
        {"kind": kind, "side": side, "mean": mean, "sd": sd, **same}
        for kind in (ACROSS_LAYERS, ACROSS_SEEDS)
        for side, (mean, sd) in sides.items()
    ]
    return pd.DataFrame(found, columns=NULL_COLUMNS)


def walk_null(
    steps: Sequence[int],
    draws: int,
    generator: np.random.Generator,
    rho: float = 0.0,
    drift_snr: float = 0.0,
    dimension: int = 10**6,
    describe: Callable[..., dict[str, float]] = trajectory_statistics,
) -> pd.DataFrame:
    """Statistics of simulated walks, one row a draw.

    The Gram matrix of a Gaussian walk in R^d (d = `dimension` >= T) has a Wishart law,
    so no matrix of that size is made; for d >> T all draws are alike.
    """
    mix, count = root(expected_gram(steps, rho, drift_snr)), len(steps)
    noise = wishart.rvs(dimension, np.eye(count), size=draws, random_state=generator)
    grams = mix @ noise.reshape(draws, count, count) @ mix.T / dimension
    return pd.DataFrame([describe(each, steps) for each in grams])
