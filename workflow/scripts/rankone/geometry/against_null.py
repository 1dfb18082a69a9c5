"""Statistics of one matrix beside those of random matrices of one null."""

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch

from rankone.errors import UserError
from rankone.linalg.random_matrices import Null
from rankone.linalg.spectral_measures import spectral_statistics
from rankone.linalg.svd import singular_values
from rankone.statistics.hypothesis_tests import monte_carlo_p
from rankone.statistics.intervals import LEVEL


def matrix_statistics(matrix: torch.Tensor) -> dict[str, float]:
    """statistics() of a matrix [m, n]."""
    return spectral_statistics(singular_values(matrix)[0].cpu(), *matrix.shape)


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
    observed = matrix_statistics(matrix)
    names = list(observed if statistic_names is None else statistic_names)
    if unknown := sorted(set(names) - set(observed)):
        raise UserError(
            f"Found {', '.join(unknown)}; expected statistics among "
            f"{', '.join(observed)}."
        )
    drawn = pd.DataFrame(
        [matrix_statistics(null(matrix, generator)) for _ in range(draws)]
    )
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
