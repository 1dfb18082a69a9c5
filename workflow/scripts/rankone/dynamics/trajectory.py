"""The updates of a run over time as one trajectory: statistics beside those of a walk.

The statistics of trajectory_statistics and random_walk (from the T x T Gram matrix of
the updates at the exported steps) and of weight_linearity (from single weights), each
with the value that a random walk of the same steps and of as many weights gives, and
the band of 95 % of such walks. Adam's momentum alone correlates the increments of a
walk, so that there is a second null: `momentum`, the median of walks whose increments
are correlated like it.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from rankone.dynamics import random_walk, trajectory_statistics, weight_linearity
from rankone.dynamics.alignment_tables import SHUFFLED_COLUMNS
from rankone.seeding import random_generator
from rankone.statistics.clustered import clustered
from rankone.statistics.intervals import DRAWS, LEVEL
from rankone.tables_io import concatenate, with_all_runs

BAND = {"null": 0.5, "null_low": (1 - LEVEL) / 2, "null_high": (1 + LEVEL) / 2}
NULLS = [*BAND, "momentum"]
MANY = 25
# Surrogates of each matrix with its increments in random order.
SHUFFLES = 4
MATRIX_COLUMNS = [
    *("run", "layer", "module", "tensor", "rows", "columns", "steps"),
    *("statistic", "value", *NULLS),
]
GRAM_COLUMNS = ["tensor", "step", "other", "inner"]
TABLE_COLUMNS = [
    *("run", "statistic", "n", "layers", "value", "low", "high", *NULLS),
]


def gram_statistics(gram: np.ndarray, steps: Sequence[int]) -> dict[str, float]:
    """All statistics of a Gram matrix [T, T] at these steps; NaN where undefined."""
    return trajectory_statistics.trajectory_statistics(gram, steps) | increments(
        gram, steps
    )


def increments(gram: np.ndarray, steps: Sequence[int]) -> dict[str, float]:
    """Statistics of the increments, which take a fit."""
    return asdict(random_walk.increment_statistics(gram, steps))


def walk_bands(
    steps: Sequence[int], draws: int, seed: int
) -> Callable[[int], pd.DataFrame]:
    """Gives NULLS of every statistic from walks in R^d, for any d.

    Of statistics that are quick to compute MANY times as many walks are drawn: the
    error of a null is in no interval.
    """

    def drawn(rho: float, dimension: int) -> pd.DataFrame:
        quick, slow = (
            random_walk.walk_null(
                *(steps, count, np.random.default_rng(seed), rho),
                dimension=dimension,
                describe=statistics,
            )
            for count, statistics in (
                (MANY * draws, trajectory_statistics.trajectory_statistics),
                (draws, increments),
            )
        )
        return quick.join(slow)

    @cache
    def band(dimension: int) -> pd.DataFrame:
        plain, momentum = (drawn(rho, dimension) for rho in (0.0, random_walk.MOMENTUM))
        found = pd.DataFrame({name: plain.quantile(q) for name, q in BAND.items()})
        return found.assign(momentum=momentum.median())

    return band


@dataclass(frozen=True)
class Nulls:
    """What the statistics of a run with certain steps are compared with.

    `band` gives NULLS in R^d; `walks` are linearity.straight_walks() without and with
    momentum.
    """

    band: Callable[[int], pd.DataFrame]
    walks: tuple[np.ndarray, np.ndarray]


def make_nulls(steps: Sequence[int], draws: int, seed: int) -> Nulls:
    """Nulls from so many walks of the whole trajectory, and many of single weights."""
    walks = tuple(
        weight_linearity.straight_walks(
            steps, random_generator(seed, "straight walks"), rho
        )
        for rho in (0.0, random_walk.MOMENTUM)
    )
    return Nulls(walk_bands(steps, draws, seed), walks)


def follow(
    weight: torch.Tensor,
    updates: Sequence[torch.Tensor],
    steps: Sequence[int],
    nulls: Nulls,
) -> tuple[list[dict], np.ndarray]:
    """A row for each statistic of one matrix [out, in], and its Gram matrix [T, T]."""
    inner = trajectory_statistics.gram(updates)
    straight = weight_linearity.measure(weight, updates, steps)
    rows = gram_rows(inner, steps, nulls.band(weight.numel()))
    return rows + weight_linearity.linearity_statistics(straight, *nulls.walks), inner


def gram_rows(gram: np.ndarray, steps: Sequence[int], band: pd.DataFrame) -> list[dict]:
    """A row for each statistic of a Gram matrix, beside a band of walk_bands()."""
    return [
        {"statistic": name, "value": value, **band.loc[name]}
        for name, value in gram_statistics(gram, steps).items()
    ]


def long_gram(tensor: str, gram: np.ndarray, steps: Sequence[int]) -> pd.DataFrame:
    """A Gram matrix [T, T] as one row a pair of steps, with GRAM_COLUMNS."""
    step, other = (each.ravel() for each in np.meshgrid(steps, steps, indexing="ij"))
    values = {"tensor": tensor, "step": step, "other": other, "inner": gram.ravel()}
    return pd.DataFrame(values, columns=GRAM_COLUMNS)


def shuffled_cosines(
    run: str,
    tensor: str,
    updates: Sequence[torch.Tensor],
    steps: Sequence[int],
    seed: int,
) -> pd.DataFrame:
    """Mean cosines of a matrix's step-shuffled surrogates, with SHUFFLED_COLUMNS."""
    generator = random_generator(seed, f"{run}:{tensor}:shuffled")
    null = random_walk.shuffled_null(steps, updates, generator, SHUFFLES)
    named = null.rename(columns={"mean": "shuffled"}).assign(run=run, tensor=tensor)
    return named[SHUFFLED_COLUMNS]


def read_grams(path: str | Path) -> dict[str, pd.DataFrame]:
    """Gram matrices by tensor, labelled by step, from a file of long_gram()."""
    return {
        tensor: rows.pivot(index="step", columns="other", values="inner")
        for tensor, rows in concatenate([path], GRAM_COLUMNS).groupby("tensor")
    }


def trajectory_table(
    matrices: pd.DataFrame, seed: int, draws: int = DRAWS
) -> pd.DataFrame:
    """Means over matrices of each run, and of all runs of an arm, with TABLE_COLUMNS.

    `matrices` has MATRIX_COLUMNS. Intervals resample layers, with all their modules and
    runs; `n` is the number of matrices with a value, or of all where none has one. The
    null is the mean of the matrices' nulls, and so are the ends of its band, which is
    that of a single matrix.
    """
    rows, key = [], ["arm", "run", "statistic"]
    for names, cell in with_all_runs(matrices).groupby(key, sort=False):
        known = cell.dropna(subset="value")
        row = dict(zip(key, names, strict=True)) | {"n": len(known) or len(cell)}
        row |= clustered(known, "value", seed, draws).columns()
        row["layers"] = known["layer"].nunique()
        rows.append(row | known[NULLS].mean().to_dict())
    return pd.DataFrame(rows, columns=["arm", *TABLE_COLUMNS])
