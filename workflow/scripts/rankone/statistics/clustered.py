"""Means over matrices whose layers are resampled together.

Source: Owen, Annals of Applied Statistics 1 (2007) 386 (resampling of pairs).
"""

import math
from dataclasses import dataclass
from functools import cache

import numpy as np
import pandas as pd

from rankone.errors import UserError
from rankone.statistics.hypothesis_tests import signed_rank_p
from rankone.statistics.intervals import DRAWS, Estimate, clustered_interval


def clustered(
    matrices: pd.DataFrame, value: str, seed: int, draws: int, error: float = 0.0
) -> Estimate:
    """Mean of a column over matrices, or pairs of them, with layers resampled.

    Their layers are in the columns `layer` and `second`, the same but across layers.
    `error` is the standard deviation of normal noise to add to the resampled means.
    The interval is NaN with fewer than two layers, or two pairs of them.
    """
    known = matrices.dropna(subset=value)
    if known.empty:
        return Estimate(np.nan, np.nan, np.nan)
    sums, counts = layer_sums(known, value)
    mean, clusters = float(known[value].mean()), len(sums)
    weights, noise = layer_weights(clusters, seed, draws)
    if (known["layer"] == known["second"]).all():
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
    """Sums of a column and numbers of rows [L, L] by `layer` and `second` layer."""
    ends = matrices[["layer", "second"]].to_numpy()
    layers, places = np.unique(ends, return_inverse=True)
    places = tuple(places.reshape(ends.shape).T)
    sums, counts = np.zeros((2, len(layers), len(layers)))
    np.add.at(sums, places, matrices[value].to_numpy())
    np.add.at(counts, places, 1)
    return sums, counts


@dataclass(frozen=True)
class PairedEstimate(Estimate):
    """Mean difference of pairs with its interval over layers, and Wilcoxon's p."""

    p: float
    matrices: int
    layers: int


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
