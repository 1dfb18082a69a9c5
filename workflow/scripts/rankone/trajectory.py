"""The updates of a run over time as one trajectory: statistics beside those of a walk.

The statistics of rankone.alignment (from the T x T Gram matrix of the updates at the
exported steps) and of rankone.linearity (from single weights), each with the value that
a random walk of the same steps and of as many weights gives, and the band of 95 % of
such walks.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd

from rankone import alignment
from rankone.statistics import DRAWS, LEVEL
from rankone.tables import ALL_RUNS, concatenate

BAND = {"null": 0.5, "null_low": (1 - LEVEL) / 2, "null_high": (1 + LEVEL) / 2}
MATRIX_COLUMNS = [
    *("run", "layer", "module", "tensor", "rows", "columns", "steps"),
    *("statistic", "value", *BAND),
]
GRAM_COLUMNS = ["tensor", "step", "other", "inner"]
TABLE_COLUMNS = [
    *("run", "statistic", "n", "value", "low", "high", *BAND),
]


def describe(gram: np.ndarray, steps: Sequence[int]) -> dict[str, float]:
    """All statistics of a Gram matrix [T, T] at these steps; NaN where undefined."""
    increments = asdict(alignment.increment_statistics(gram, steps))
    return alignment.trajectory_statistics(gram, steps) | increments


def walk_bands(
    steps: Sequence[int], draws: int, seed: int
) -> Callable[[int], pd.DataFrame]:
    """Gives the median and the band of every statistic of walks in R^d, for any d."""

    @cache
    def band(dimension: int) -> pd.DataFrame:
        rng = np.random.default_rng(seed)
        found = alignment.walk_null(
            steps, draws, rng, dimension=dimension, describe=describe
        )
        return pd.DataFrame({name: found.quantile(q) for name, q in BAND.items()})

    return band


def gram_rows(gram: np.ndarray, steps: Sequence[int], band: pd.DataFrame) -> list[dict]:
    """A row for each statistic of a Gram matrix, beside a band of walk_bands()."""
    return [
        {"statistic": name, "value": value, **band.loc[name]}
        for name, value in describe(gram, steps).items()
    ]


def long_gram(tensor: str, gram: np.ndarray, steps: Sequence[int]) -> pd.DataFrame:
    """A Gram matrix [T, T] as one row a pair of steps, with GRAM_COLUMNS."""
    step, other = (each.ravel() for each in np.meshgrid(steps, steps, indexing="ij"))
    values = {"tensor": tensor, "step": step, "other": other, "inner": gram.ravel()}
    return pd.DataFrame(values, columns=GRAM_COLUMNS)


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

    `matrices` has MATRIX_COLUMNS and `arm`. Intervals resample layers, with all their
    modules and runs; `n` is the number of matrices with a value. The null is the mean
    of the matrices' nulls, and so are the ends of its band, which is that of a single
    matrix.
    """
    rows = []
    every = matrices.assign(run=ALL_RUNS)
    for (arm, run, statistic), cell in pd.concat([matrices, every]).groupby(
        ["arm", "run", "statistic"], sort=False
    ):
        known = cell.dropna(subset="value").assign(second=cell["layer"])
        mean = alignment.clustered(known, "value", seed, draws)
        row = {"arm": arm, "run": run, "statistic": statistic, "n": len(known)}
        row |= {"value": mean.value, "low": mean.low, "high": mean.high}
        rows.append(row | known[list(BAND)].mean().to_dict())
    return pd.DataFrame(rows, columns=["arm", *TABLE_COLUMNS])
