"""Intervals for accuracies, paired differences and recovered gain.

Every statistic of one table cell is computed from the same resampled items (and the
same resampled runs), so that variants stay paired. Items are resampled as counts of
distinct outcome patterns: the same distribution as drawing items one by one, but
independent of the order of the items and faster.

Sources: Efron and Tibshirani, An Introduction to the Bootstrap, chapters 8 and 13
(paired and percentile bootstrap); Wilson, JASA 22 (1927) 209; Bonett and Price, JEBS
37 (2012) 479 (paired proportions); Marchenko and Pastur, Math. USSR-Sb. 1 (1967) 457.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import norm
from scipy.stats import t as student

DRAWS = 10_000
LEVEL = 0.95
Z = float(norm.ppf((1 + LEVEL) / 2))
# A resampled gain at or below zero counts as this: the ratio's limit, not a sign flip.
SMALLEST_GAIN = 1e-9
DEFINED = "defined"
NO_GAIN = "gain not distinguishable from zero"
LOSS = "training lowered the score"


@dataclass(frozen=True)
class Estimate:
    """A value with the bounds of its two-sided interval at `LEVEL`."""

    value: float
    low: float
    high: float

    @property
    def includes_zero(self) -> bool:
        """Whether zero lies in the interval, bounds included."""
        return self.low <= 0 <= self.high

    def columns(self, name: str = "value", prefix: str = "") -> dict[str, float]:
        """Columns of a row: the value as `name`, `low` and `high` with the prefix."""
        return {name: self.value, f"{prefix}low": self.low, f"{prefix}high": self.high}


UNDEFINED = Estimate(np.nan, np.nan, np.nan)


@dataclass(frozen=True)
class Recovery:
    """Share of a gain that a variant keeps; NaN unless `status` is `DEFINED`."""

    estimate: Estimate
    gain: Estimate
    status: str


@dataclass(frozen=True)
class Sample:
    """Mean scores of several variants: observed (V,), resampled (draws, V).

    `floor` is the least half-width of an interval of a paired difference.
    """

    observed: np.ndarray
    draws: np.ndarray
    floor: float


def wilson(score: float, n: int, z: float = Z) -> Estimate:
    """Wilson interval of a mean of `n` independent scores in [0, 1].

    Chosen for single accuracies because it keeps its coverage near 0 and 1, where the
    bootstrap of all-wrong or all-right items has width zero. For scores that are not
    only 0 or 1 it is conservative: their variance is at most score * (1 - score).
    """
    if n < 1 or not 0 <= score <= 1:
        raise ValueError(f"score {score} of {n} items: expected [0, 1] and n >= 1")
    centre = (score + z**2 / (2 * n)) / (1 + z**2 / n)
    spread = z * np.sqrt(score * (1 - score) / n + z**2 / (4 * n**2)) / (1 + z**2 / n)
    # The bounds are 0 and 1 exactly at the ends; rounding must not exclude the score.
    low, high = min(centre - spread, score), max(centre + spread, score)
    return Estimate(score, max(low, 0.0), min(high, 1.0))


def bootstrap(
    strata: Sequence[np.ndarray], rng: np.random.Generator, draws: int = DRAWS
) -> Sample:
    """Resample the mean score of V variants, paired by item.

    Each stratum (benchmark) is an array (runs, V, items); runs and V agree, items may
    differ. The mean is unweighted over strata. Items are resampled within each stratum,
    the same items for all runs and variants; with several runs, runs are resampled as
    well, the same runs for all strata. With few runs the spread between runs is
    underestimated by the factor (runs - 1) / runs in variance.
    """
    observed, drawn = resample(strata, rng, draws)
    floor = least_half_width([np.shape(stratum)[2] for stratum in strata])
    return Sample(observed.mean(axis=0), drawn.mean(axis=0), floor)


def resample(
    strata: Sequence[np.ndarray], rng: np.random.Generator, draws: int = DRAWS
) -> tuple[np.ndarray, np.ndarray]:
    """Means over runs and items of each stratum: observed (S, V), drawn (S, draws, V).

    The strata and how they are resampled are those of bootstrap().
    """
    strata = [np.asarray(stratum, dtype=np.float64) for stratum in strata]
    shapes = {stratum.shape[:2] for stratum in strata}
    if len(shapes) != 1 or any(s.ndim != 3 or s.shape[2] == 0 for s in strata):
        raise ValueError("strata: expected non-empty arrays (runs, variants, items)")
    runs = strata[0].shape[0]
    weights = rng.multinomial(runs, np.full(runs, 1 / runs), size=draws) / runs
    means = np.stack([_resampled_means(stratum, rng, draws) for stratum in strata])
    observed = np.stack([stratum.mean(axis=(0, 2)) for stratum in strata])
    return observed, np.einsum("dr,sdrv->sdv", weights, means)


def _resampled_means(
    stratum: np.ndarray, rng: np.random.Generator, draws: int
) -> np.ndarray:
    """Means (draws, runs, V) over resampled items of one stratum (runs, V, items)."""
    runs, variants, n = stratum.shape
    patterns, counts = np.unique(
        stratum.reshape(runs * variants, n), axis=1, return_counts=True
    )
    weights = rng.multinomial(n, counts / n, size=draws) / n
    return (weights @ patterns.T).reshape(draws, runs, variants)


def least_half_width(sizes: Sequence[int]) -> float:
    """Half-width of Bonett and Price's interval when no pair of items disagrees.

    The bootstrap would give width zero there, as if infinitely many items had been
    seen; it is wider than this from two disagreeing pairs on.
    """
    half_widths = [Z * np.sqrt(2) / (n + 2) for n in sizes]
    return float(np.sqrt(np.sum(np.square(half_widths))) / len(sizes))


def percentile(value: float, draws: np.ndarray, floor: float = 0.0) -> Estimate:
    """Percentile interval, never narrower than `value` plus or minus `floor`."""
    low, high = np.quantile(draws, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Estimate(
        float(value), float(min(low, value - floor)), float(max(high, value + floor))
    )


def clustered_interval(value: float, drawn: np.ndarray, clusters: int) -> Estimate:
    """A t interval from the bootstrap's standard error of so few resampled clusters.

    Percentiles would be too narrow: few clusters take few values. The bootstrap's
    variance is too small by (clusters - 1) / clusters, which is put right (Efron and
    Tibshirani, section 5.3).
    """
    if clusters < 2 or not len(drawn):
        return Estimate(value, np.nan, np.nan)
    quantile = student.ppf((1 + LEVEL) / 2, clusters - 1)
    half = float(quantile * drawn.std() * np.sqrt(clusters / (clusters - 1)))
    return Estimate(value, value - half, value + half)


def bootstrap_mean(sample: Sample, variant: int = 0) -> Estimate:
    """Mean score of one variant, in [0, 1]."""
    estimate = percentile(
        sample.observed[variant], sample.draws[:, variant], sample.floor
    )
    return Estimate(estimate.value, max(estimate.low, 0.0), min(estimate.high, 1.0))


def paired_difference(sample: Sample, variant: int, reference: int = 0) -> Estimate:
    """Mean score of `variant` minus that of `reference`, paired by item."""
    return percentile(
        sample.observed[variant] - sample.observed[reference],
        sample.draws[:, variant] - sample.draws[:, reference],
        sample.floor,
    )


def recovery(sample: Sample, variant: int, full: int, base: int = 0) -> Recovery:
    """(variant - base) / (full - base) over the same resampled items and runs.

    With several runs it is the ratio of the means over runs. It is undefined (NaN, with
    the reason as `status`) unless the gain full - base is above zero with its interval.
    """
    gain = paired_difference(sample, full, base)
    if gain.low <= 0:
        return Recovery(UNDEFINED, gain, NO_GAIN if gain.includes_zero else LOSS)
    kept = paired_difference(sample, variant, base).value
    gains = sample.draws[:, full] - sample.draws[:, base]
    shares = (sample.draws[:, variant] - sample.draws[:, base]) / np.maximum(
        gains, SMALLEST_GAIN
    )
    share = percentile(kept / gain.value, shares, sample.floor / gain.value)
    return Recovery(share, gain, DEFINED)
