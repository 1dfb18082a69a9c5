"""Numbers that describe the spectrum of one matrix.

Sources: FARMS (arXiv 2506.06280) for fixed aspect ratios; Martin and Mahoney, JMLR 22
(2021) 165 for the soft rank.
"""

import math
from collections.abc import Sequence
from dataclasses import asdict

import numpy as np
import torch
from numpy.typing import ArrayLike

from rankone.errors import UserError
from rankone.linalg.power_law import (
    HILL_SHARE,
    checked,
    counted,
    fit_power_law,
    hill,
    resolved,
    whole,
)
from rankone.linalg.rank_measures import effective_rank, stable_rank
from rankone.linalg.svd import singular_values
from rankone.statistics.marchenko_pastur import (
    marchenko_pastur_edge,
    noise_median,
    outlier_limit,
)


def bulk_variance(sigma: ArrayLike | torch.Tensor, rows: int, columns: int) -> float:
    """Variance of the entries of noise with the median eigenvalue of this spectrum.

    Against the Marchenko-Pastur median, since few large eigenvalues hardly move a
    median. Many do: it is too large, and outliers() counts too few.
    """
    median = np.median(whole(sigma, rows, columns))
    return float(median / noise_median(rows, columns))


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


def spectral_statistics(
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
    size = farms_window(matrix.shape, ratio)
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


def farms_window(shape: Sequence[int], ratio: float) -> tuple[int, int]:
    """Rows and columns of the largest part with that long over short side."""
    rows, columns = shape
    short = max(min(min(shape), math.floor(max(shape) / ratio)), 1)
    long = min(round(short * ratio), max(shape))
    return (long, short) if rows >= columns else (short, long)
