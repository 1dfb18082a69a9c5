"""Do single weights move along straight lines?

R^2 of every weight on the step, as RLVR-Linearity (arXiv 2601.04537) has it: the
squared Pearson correlation over the base and the exported steps. A random walk is
linear in this sense, too, and the more so the further it gets: a filter on the range
selects straight paths out of mere noise. So the share of straight paths is compared
with that of walks among which the same share was selected by their range.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from rankone.dynamics.random_walk import expected_gram, gaussian
from rankone.linalg.svd import CACHED
from rankone.statistics.intervals import Z

# The paper's: a straight path, and which weights count as having moved.
STRAIGHT = 0.7
MIN_RANGE, MIN_VALUES = 1e-4, 4
WALKS = 1_000_000
# Fewer walks do not give a share.
MIN_WALKS = 1000


@dataclass(frozen=True)
class Linearity:
    """Counts of the weights of one matrix.

    Of `total` weights `changed` moved at all and `kept` pass the paper's filter;
    `straight` and `kept_straight` of these have an R^2 above STRAIGHT.
    """

    total: int
    changed: int
    straight: int
    kept: int
    kept_straight: int

    def __add__(self, other: "Linearity") -> "Linearity":
        sums = zip(vars(self).values(), vars(other).values(), strict=True)
        return Linearity(*map(sum, sums))


def r_squared(paths: torch.Tensor, steps: Sequence[int]) -> torch.Tensor:
    """Squared correlation [n] float64 of n paths [T, n] with their steps.

    NaN where a path does not move, and for two points, which are always on a line.
    """
    if len(steps) < 3:
        return torch.full(paths.shape[1:], torch.nan, dtype=torch.float64)
    times = torch.tensor(steps, dtype=torch.float64)
    times, paths = times - times.mean(), paths.double()
    paths = paths - paths.mean(0)
    energy = times.square().sum() * paths.square().sum(0)
    return (times @ paths).square() / energy


def measure(
    weight: torch.Tensor, updates: Sequence[torch.Tensor], steps: Sequence[int]
) -> Linearity:
    """Linearity of one matrix: base weight [out, in] and its updates at `steps`."""
    found, rows = Linearity(0, 0, 0, 0, 0), max(CACHED // weight.shape[1], 1)
    for base, *later in zip(
        weight.split(rows), *(update.split(rows) for update in updates), strict=True
    ):
        paths = torch.stack([torch.zeros_like(base), *later]).flatten(1)
        found += count(base.flatten(), paths, steps)
    return found


def count(base: torch.Tensor, paths: torch.Tensor, steps: Sequence[int]) -> Linearity:
    """Linearity of weights [n] that are `paths` [T + 1, n] away from the base."""
    fit = r_squared(paths, [0, *steps])
    straight, kept = fit > STRAIGHT, moved(base, paths)
    counts = (fit.isfinite(), straight, kept, straight & kept)
    return Linearity(len(base), *(int(each.sum()) for each in counts))


def moved(base: torch.Tensor, paths: torch.Tensor) -> torch.Tensor:
    """Which weights [n] pass the paper's filter.

    Their range is above MIN_RANGE, and in bfloat16 they take at least MIN_VALUES
    values.
    """
    kept = paths.amax(0) - paths.amin(0) > MIN_RANGE
    seen = (base[kept] + paths[:, kept]).bfloat16().float().sort(dim=0).values
    kept[kept.clone()] = (seen.diff(dim=0) != 0).sum(0) + 1 >= MIN_VALUES
    return kept


def straight_walks(
    steps: Sequence[int], generator: torch.Generator, rho: float = 0.0
) -> np.ndarray:
    """Share of straight paths among the k walks that get furthest [WALKS], by k - 1.

    The walks have Gaussian increments with AR(1) correlation `rho`.
    """
    walks = gaussian(expected_gram(steps, rho), WALKS, generator)
    walks = torch.cat([torch.zeros(1, WALKS), walks])
    straight = r_squared(walks, [0, *steps]) > STRAIGHT
    order = (walks.amax(0) - walks.amin(0)).argsort(descending=True)
    return straight[order].double().cumsum(0).numpy() / np.arange(1, WALKS + 1)


def linearity_statistics(
    found: Linearity, walks: np.ndarray, momentum: np.ndarray
) -> list[dict]:
    """Rows of statistics of one matrix beside those of straight_walks().

    `momentum` has walks with correlated increments.

    `linear_share` is of the weights that changed, `linear_share_filtered` of those that
    pass the filter, whose share of all is `filtered_share`.
    """
    selected = max(round(found.kept / found.total * WALKS), MIN_WALKS)
    both = walks, momentum
    every, matched = (tuple(each[k - 1] for each in both) for k in (WALKS, selected))
    nothing = np.nan, np.nan
    return [
        row("linear_share", found.straight, found.changed, every),
        row("linear_share_filtered", found.kept_straight, found.kept, matched),
        row("filtered_share", found.kept, found.total, nothing),
    ]


def row(statistic: str, part: int, whole: int, nulls: tuple[float, float]) -> dict:
    """A share, its nulls, and the first one's band for so many independent weights."""
    value = part / whole if whole else np.nan
    null, momentum = nulls if whole else (np.nan, np.nan)
    half = Z * np.sqrt(null * (1 - null) * (1 / max(whole, 1) + 1 / WALKS))
    low, high = np.clip([null - half, null + half], 0, 1)
    band = {"null": null, "null_low": low, "null_high": high, "momentum": momentum}
    return {"statistic": statistic, "value": value} | band
