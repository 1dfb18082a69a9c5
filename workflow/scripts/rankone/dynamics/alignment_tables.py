"""Alignment in a whole study: a null for every run, and tables beside it.

Over time the null is a random walk of the shape, with the correlations and the strength
of the first triplet that were measured: the updates' Gram matrices are known at the
exported steps, the triplets at every moment that was measured. Across layers and seeds
it is independent directions.
"""

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np
import pandas as pd

from rankone.dynamics import alignment, random_walk
from rankone.dynamics.alignment import ACROSS_LAYERS
from rankone.linalg.svd import Factors
from rankone.names import arm_of
from rankone.seeding import random_generator
from rankone.statistics.clustered import clustered
from rankone.statistics.intervals import DRAWS
from rankone.weights.factors import Trajectory

logger = logging.getLogger(__name__)

# Runs of an arm whose correlations differ by no more share a null.
SAME = 0.02
CELL = ["run", "kind", "module", "shape", "step", "other", "side"]
ALIGNMENT_COLUMNS = [
    *(*CELL, "used", "n", "cosine", "low", "high", "null", "null_sd", "z", "shuffled"),
]
PAIR_COLUMNS = [*alignment.PAIR_COLUMNS, "null", "null_sd", "z", "shuffled"]
# Where a surrogate is: one row of alignment.shuffled_null() for a run's matrix.
LINK = ["run", "tensor", "kind", "side", "step", "other"]
SHUFFLED_COLUMNS = [*LINK, "shuffled"]
BEYOND = ["shuffled", "beyond", "beyond_low", "beyond_high"]
Grams = Mapping[str, pd.DataFrame]  # tensor -> <D_s, D_t>, labelled by step
Shape = tuple[int, int]


@dataclass(frozen=True)
class SimulatedWalk:
    """What the null over time of the matrices of one shape in one run is made from.

    `correlation` [T, T] is that of the updates at `steps`, `spike` [T] the strength of
    the first triplet over the norm.
    """

    run: str
    shape: Shape
    steps: tuple[int, ...]
    correlation: np.ndarray
    spike: np.ndarray

    def like(self, other: "SimulatedWalk") -> bool:
        """Whether one null serves both: arm, shape, steps, nearly the correlations."""
        keys = {(arm_of(w.run), w.shape, w.steps) for w in (self, other)}
        if len(keys) > 1:
            return False
        return bool(np.abs(self.correlation - other.correlation).max() <= SAME)


def shape_of(factors: Factors) -> Shape:
    """Rows and columns of the matrix."""
    return len(factors.left), factors.right.shape[1]


def by_shape(kept: Mapping[str, Factors]) -> dict[Shape, list[str]]:
    """Tensors of each shape."""
    found: dict[Shape, list[str]] = {}
    for name, factors in kept.items():
        found.setdefault(shape_of(factors), []).append(name)
    return found


def correlation(grams: Sequence[pd.DataFrame], steps: Sequence[int]) -> np.ndarray:
    """Correlations [T, T] of updates at `steps`, as their Gram matrices suggest.

    Those of a walk with the correlation of increments and the drift that fit the mean
    of the Gram matrices, which are at other steps; of a plain one where these are fewer
    than three, or no update is there.
    """
    moved = [each for each in grams if each.to_numpy().any()]
    rho = drift = 0.0
    if moved:
        mean = random_walk.mean_gram(each.to_numpy() for each in moved)
        found = random_walk.increment_statistics(mean, list(moved[0].index))
        rho, drift = np.nan_to_num([found.rho, found.drift_snr])
    return random_walk.as_correlation(random_walk.expected_gram(steps, rho, drift))


def spikes(trajectory: Trajectory, names: Sequence[str], shape: Shape) -> np.ndarray:
    """Strength [T] of the first triplet over the norm, of the median of matrices."""
    shares = [
        [kept[name].sigma[0].item() / (kept[name].norm or np.inf) for name in names]
        for kept in trajectory.values()
    ]
    return random_walk.spike_strength(np.median(shares, axis=1), *shape)


def walks(run: str, trajectory: Trajectory, grams: Grams) -> list[SimulatedWalk]:
    """A walk for each shape of a run with two steps or more."""
    steps = tuple(trajectory)
    if len(steps) < 2:
        return []
    return [
        SimulatedWalk(
            *(run, shape, steps),
            correlation([grams[name] for name in names], steps),
            spikes(trajectory, names, shape),
        )
        for shape, names in by_shape(trajectory[steps[0]]).items()
    ]


def shared(found: Iterable[SimulatedWalk]) -> list[list[SimulatedWalk]]:
    """Walks in groups that have one null each."""
    groups: list[list[SimulatedWalk]] = []
    for walk in found:
        own = next((group for group in groups if walk.like(group[0])), None)
        if own:
            own.append(walk)
        else:
            groups.append([walk])
    return groups


def null_over_time(
    group: Sequence[SimulatedWalk], seed: int, draws: int
) -> pd.DataFrame:
    """The simulated null of walks that share one, for each of their runs."""
    first = group[0]
    logger.info(
        "Null of %s x %s: %d walks of %d steps, for %s",
        *(*first.shape, draws, len(first.steps)),
        ", ".join(walk.run for walk in group),
    )
    found = random_walk.walk_alignment(
        *(*first.shape, first.steps),
        np.mean([walk.correlation for walk in group], axis=0),
        random_generator(seed, f"{first.run}:{first.shape}"),
        np.median([walk.spike for walk in group], axis=0),
        draws,
    )
    return pd.concat([found.assign(run=walk.run) for walk in group])


def null_table(
    trajectories: Mapping[str, Trajectory],
    grams: Mapping[str, Grams],
    seed: int,
    draws: int,
) -> pd.DataFrame:
    """NULL_COLUMNS and `run` for every pair that these runs can have."""
    found = chain.from_iterable(
        walks(run, trajectory, grams[run]) for run, trajectory in trajectories.items()
    )
    tables = [null_over_time(group, seed, draws) for group in shared(found)]
    for run, trajectory in trajectories.items():
        for shape in {s for kept in trajectory.values() for s in by_shape(kept)}:
            tables.append(random_walk.independent_alignment(*shape).assign(run=run))
    columns = ["run", *random_walk.NULL_COLUMNS]
    return pd.concat(tables) if tables else pd.DataFrame(columns=columns)


def beside(pairs: pd.DataFrame, shuffled: pd.DataFrame, how: str) -> pd.DataFrame:
    """Pairs with `shuffled` of their matrix and steps."""
    # A table without rows has no types to merge on.
    return pairs.merge(shuffled.astype({"step": int}), how=how, on=LINK)


def pair_table(
    pairs: pd.DataFrame, null: pd.DataFrame, shuffled: pd.DataFrame
) -> pd.DataFrame:
    """All pairs with `null`, `null_sd`, `z` and `shuffled`, as PAIR_COLUMNS.

    `shuffled`, with SHUFFLED_COLUMNS, is the mean cosine in the same matrix's
    surrogates; there are none across layers and seeds.
    """
    if pairs.empty:
        return pd.DataFrame(columns=PAIR_COLUMNS)
    found = beside(alignment.standardised(pairs, null), shuffled, "left")
    names = {"mean": "null", "sd": "null_sd"}
    return found.rename(columns=names)[PAIR_COLUMNS]


def alignment_table(pairs: pd.DataFrame, seed: int, draws: int = DRAWS) -> pd.DataFrame:
    """Means over the matrices of a run and module, as ALIGNMENT_COLUMNS.

    `pairs` are those of pair_table(). `n` are all pairs and `used` those whose
    directions are identifiable; across layers all pairs of layers are taken together.
    Intervals are those of the mean cosine, with layers resampled.
    """
    pairs = alignment.with_second(pairs)
    layered = pairs["kind"] == ACROSS_LAYERS
    shapes = zip(pairs["rows"], pairs["columns"], strict=True)
    pairs = pairs.assign(
        other=pairs["other"].mask(layered, ""),
        shape=[alignment.shape_class(*shape) for shape in shapes],
    )
    rows = []
    for key, cell in pairs.groupby(CELL, sort=False):
        row = dict(zip(CELL, key, strict=True)) | {"n": len(cell)}
        row["used"] = int(cell["used"].sum())
        row |= clustered(cell, "cosine", seed, draws).columns("cosine")
        means = cell[["null", "null_sd", "z", "shuffled"]].mean()
        rows.append(row | means.to_dict())
    return pd.DataFrame(rows, columns=ALIGNMENT_COLUMNS)


def contrast_table(
    pairs: pd.DataFrame,
    null: pd.DataFrame,
    shuffled: pd.DataFrame,
    seed: int,
    draws: int = DRAWS,
) -> pd.DataFrame:
    """alignment.contrast() of each arm, all of its runs together, with BEYOND."""
    arms, tables = pairs["run"].map(arm_of), []
    for arm in arms.unique():
        own = pairs[arms == arm]
        found = alignment.contrast(own, null, seed, draws)
        beyond = beyond_shuffled(own, shuffled, seed, draws)
        tables.append(found.join(beyond, on=["kind", "shape"]).assign(arm=arm))
    tables = [table for table in tables if len(table)]
    columns = ["arm", *alignment.CONTRAST_COLUMNS, *BEYOND]
    return pd.concat(tables)[columns] if tables else pd.DataFrame(columns=columns)


def beyond_shuffled(
    pairs: pd.DataFrame, shuffled: pd.DataFrame, seed: int, draws: int
) -> pd.DataFrame:
    """Left minus right cosine of the surrogates, and how far the measured is beyond.

    By kind and class of shapes, with the columns BEYOND: means over pairs of a matrix
    and then matrices, layers resampled. Pairs without a surrogate are left out.
    """
    deltas = beside(alignment.differences(pairs), shuffled, "inner")
    deltas = deltas.dropna(subset="shuffled")
    deltas = deltas.assign(beyond=deltas["delta"] - deltas["shuffled"])
    matrices = alignment.by_matrix(deltas, ("shuffled", "beyond"))
    rows = {}
    for key, cell in matrices.groupby(["kind", "shape"]):
        beyond = clustered(cell, "beyond", seed, draws).columns("beyond", "beyond_")
        rows[key] = {"shuffled": cell["shuffled"].mean()} | beyond
    index = pd.MultiIndex.from_tuples(list(rows), names=["kind", "shape"])
    return pd.DataFrame(list(rows.values()), index=index, columns=BEYOND)
