"""Singular values of Gaussian noise: Marchenko-Pastur law, edge, largest value.

Sources: Marchenko and Pastur, Math. USSR-Sb. 1 (1967) 457; Johnstone, Annals of
Statistics 29 (2001) 295 and Ma, Bernoulli 18 (2012) 322 for the largest eigenvalue.
"""

import math
from functools import cache

import numpy as np

GRID_POINTS = 4001


def noise_spectrum(rows: int, columns: int) -> np.ndarray:
    """Expected singular values of independent Gaussian noise, over its Frobenius norm.

    Marchenko-Pastur quantiles, largest first, length min(rows, columns); the null for
    the spectrum of an update of this shape.
    """
    small, large = sorted((rows, columns))
    ratio = small / large
    lower, upper = (1 - np.sqrt(ratio)) ** 2, (1 + np.sqrt(ratio)) ** 2
    # Cosine spacing: the density has square-root edges.
    angle = np.linspace(0, np.pi, GRID_POINTS)
    value = lower + (upper - lower) * (1 - np.cos(angle)) / 2
    mass = np.sin(angle) ** 2 / np.maximum(value, np.finfo(float).tiny)
    if lower < np.finfo(float).eps:
        # At a square shape the ratio has the finite limit 4 / upper * cos^2(angle / 2).
        mass = 4 / upper * np.cos(angle / 2) ** 2
    cumulative = np.cumsum(mass) - mass / 2
    levels = (np.arange(small, 0, -1) - 0.5) / small
    eigenvalues = np.interp(levels, cumulative / mass.sum(), value)
    return np.sqrt(eigenvalues / eigenvalues.sum())


def noise_norm_share(rows: int, columns: int) -> float:
    """Largest singular value over the Frobenius norm, for Gaussian noise of this shape.

    The Marchenko-Pastur edge (sqrt(rows) + sqrt(columns)) / sqrt(rows * columns).
    """
    return float((np.sqrt(rows) + np.sqrt(columns)) / np.sqrt(rows * columns))


# Of the Tracy-Widom law of real matrices.
TRACY_WIDOM_SD = math.sqrt(1.6078)
OUTLIER_SDS = 2


def marchenko_pastur_edge(rows: int, columns: int, variance: float) -> float:
    """Largest eigenvalue of noise in the limit: variance (sqrt(m) + sqrt(n))^2.

    `variance` is that of an entry; eigenvalues are not divided by a dimension.
    """
    return variance * (math.sqrt(rows) + math.sqrt(columns)) ** 2


@cache
def noise_median(rows: int, columns: int) -> float:
    """Median eigenvalue of noise whose entries have variance one."""
    return float(np.median(np.square(noise_spectrum(rows, columns)))) * rows * columns


def outlier_limit(rows: int, columns: int, variance: float) -> float:
    """Edge of noise plus OUTLIER_SDS Tracy-Widom standard deviations.

    Centre and scale are Johnstone's with Ma's corrections of 1/2, which make them
    symmetric in rows and columns and accurate for small matrices.
    """
    first, second = math.sqrt(rows - 0.5), math.sqrt(columns - 0.5)
    centre = (first + second) ** 2
    scale = (first + second) * (1 / first + 1 / second) ** (1 / 3)
    return variance * (centre + OUTLIER_SDS * TRACY_WIDOM_SD * scale)
