"""Means over matrices whose layers are resampled together.

Matrices of a layer are not independent. At the edges there is one rule: a mean over
nothing is NaN, and one layer (or one pair of layers), which says nothing of the spread,
has a mean whose bounds are NaN.

Source: Owen, Annals of Applied Statistics 1 (2007) 386 (resampling of pairs).
"""

from dataclasses import dataclass
from functools import cache

import numpy as np
import pandas as pd

from rankone.statistics.hypothesis_tests import signed_rank_p
from rankone.statistics.intervals import (
    DRAWS,
    UNDEFINED,
    Estimate,
    clustered_interval,
)


def clustered(
    matrices: pd.DataFrame, value: str, seed: int, draws: int, error: float = 0.0
) -> Estimate:
    """Mean of a column over matrices, or over pairs of them, with layers resampled.

    The column `layer` says where a matrix is, and `second`, if there is one, where the
    other of a pair is. Rows without a value are left out. `error` is the standard
    deviation of normal noise to add to the resampled means.
    """
    known = matrices.dropna(subset=value)
    if known.empty:
        return UNDEFINED
    sums, counts = layer_sums(known, value)
    mean, clusters = float(known[value].mean()), len(sums)
    weights, noise = layer_weights(clusters, seed, draws)
    if np.count_nonzero(counts) == np.count_nonzero(np.diag(counts)):
        total, number = (weights @ np.diag(each) for each in (sums, counts))
    else:
        total, number = ((weights @ each * weights).sum(1) for each in (sums, counts))
    there = number > 0
    drawn = total[there] / number[there] + error * noise[there]
    return clustered_interval(mean, drawn, min(clusters, np.count_nonzero(counts)))


@cache
def layer_weights(clusters: int, seed: int, draws: int) -> tuple[np.ndarray, ...]:
    """How often each layer is drawn [draws, L], and standard normal noise [draws]."""
    rng = np.random.default_rng(seed)
    weights = rng.multinomial(clusters, np.full(clusters, 1 / clusters), size=draws)
    return weights.astype(float), rng.standard_normal(draws)


def layer_sums(matrices: pd.DataFrame, value: str) -> tuple[np.ndarray, np.ndarray]:
    """Sums of a column and numbers of rows [L, L] by `layer` and `second` layer.

    They are on the diagonal where there is no second layer.
    """
    second = "second" if "second" in matrices else "layer"
    ends = np.stack([matrices["layer"], matrices[second]], axis=1)
    layers, cells = np.unique(ends, return_inverse=True)
    cells = tuple(cells.reshape(ends.shape).T)
    sums, counts = np.zeros((2, len(layers), len(layers)))
    np.add.at(sums, cells, matrices[value].to_numpy())
    np.add.at(counts, cells, 1)
    return sums, counts


@dataclass(frozen=True)
class PairedEstimate(Estimate):
    """Mean difference of pairs with its interval over layers, and Wilcoxon's p."""

    p: float
    matrices: int
    layers: int


def paired_over_layers(
    matrices: pd.DataFrame, seed: int = 0, draws: int = DRAWS
) -> PairedEstimate:
    """clustered() mean of `value` minus `null_mean` over matrices, by their `layer`.

    Undefined pairs are left out. p is that of Wilcoxon's signed-rank test of the
    layers' means.
    """
    differences = matrices["value"] - matrices["null_mean"]
    pairs = matrices.assign(difference=differences).dropna(subset="difference")
    mean = clustered(pairs, "difference", seed, draws)
    layers = pairs.groupby("layer")["difference"].mean()
    p = signed_rank_p(layers.to_numpy())
    return PairedEstimate(mean.value, mean.low, mean.high, p, len(pairs), len(layers))
