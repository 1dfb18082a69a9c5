"""Matrices whose singular values and first singular vectors are known."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import scipy.fft
import torch

from rankone.statistics.marchenko_pastur import noise_spectrum

ROUNDS = 3
RATIOS = (1.01, 1.02, 1.05, 1.1, 1.2, 1.5, 2.0, 5.0)


@dataclass(frozen=True)
class Known:
    """A float32 matrix [m, n], and its truth in float64.

    `sigma` [min(m, n)] has all singular values in descending order, `left` [m] and
    `right` [n] the first vectors (anything for a zero matrix).
    """

    matrix: torch.Tensor
    sigma: np.ndarray
    left: np.ndarray
    right: np.ndarray

    @property
    def gap(self) -> float:
        """1 - sigma_2 / sigma_1; 0 for a zero matrix."""
        return 1 - self.sigma[1] / self.sigma[0] if self.sigma[0] > 0 else 0.0


def rotate(matrix: np.ndarray, seed: int) -> np.ndarray:
    """Q @ matrix for a random orthogonal Q, in float64 and without forming Q.

    Random signs and a cosine transform, repeated: dense vectors without a preferred
    direction (Halko, Martinsson and Tropp, 2011, section 4.6, for one round).
    """
    rng = np.random.default_rng(seed)
    for _ in range(ROUNDS):
        signs = rng.choice([-1.0, 1.0], len(matrix))
        matrix = scipy.fft.dct(matrix * signs[:, None], axis=0, norm="ortho")
    return matrix


def dense(sigma: np.ndarray, rows: int, columns: int, seed: int) -> Known:
    """A dense matrix with these singular values.

    Rounding it to float32 turns its first vectors by about 1e-7 / gap.
    """
    core = np.zeros((rows, len(sigma)))
    np.fill_diagonal(core, sigma)
    half = np.zeros((columns, rows))
    half[: len(sigma)] = rotate(core, seed).T
    matrix = np.ascontiguousarray(rotate(half, seed + 1).T, dtype=np.float32)
    left, right = (
        rotate(np.eye(size, 1), seed + side)[:, 0]
        for side, size in enumerate((rows, columns))
    )
    return Known(torch.from_numpy(matrix), sigma, left, right)


def spike(rows: int, columns: int, ratio: float) -> np.ndarray:
    """Gaussian noise below one singular value `ratio` times the largest of it."""
    noise = noise_spectrum(rows, columns)
    return np.concatenate([[ratio * noise[0]], noise[:-1]])


def power(rows: int, columns: int, exponent: float) -> np.ndarray:
    """sigma_i = i ** -exponent."""
    return np.arange(1, min(rows, columns) + 1) ** -exponent


def few(rows: int, columns: int) -> np.ndarray:
    """Three singular values that are not zero."""
    sigma = np.zeros(min(rows, columns))
    sigma[:3] = (1.0, 0.6, 0.3)
    return sigma


SPECTRA: dict[str, Callable[[int, int], np.ndarray]] = {
    "noise": noise_spectrum,
    **{f"spike {x}": lambda m, n, ratio=x: spike(m, n, ratio) for x in RATIOS},
    "heavy tail 0.1": lambda m, n: power(m, n, 0.1),
    "heavy tail 0.5": lambda m, n: power(m, n, 0.5),
    "exact rank 3": few,
    "zero": lambda m, n: np.zeros(min(m, n)),
}
ONE_ENTRY = "one entry"


def one_entry(rows: int, columns: int) -> Known:
    """A matrix in which one entry is not zero."""
    left, right = np.zeros(rows), np.zeros(columns)
    left[rows // 2] = right[columns // 3] = 1.0
    sigma = np.eye(1, min(rows, columns))[0]
    matrix = torch.from_numpy(np.outer(left, right).astype(np.float32))
    return Known(matrix, sigma, left, right)


def make(spectrum: str, rows: int, columns: int, seed: int = 0) -> Known:
    """The matrix [rows, columns] with a spectrum of SPECTRA, or with one entry."""
    if spectrum == ONE_ENTRY:
        return one_entry(rows, columns)
    return dense(SPECTRA[spectrum](rows, columns), rows, columns, seed)


def measured(matrix: torch.Tensor) -> Known:
    """A matrix from elsewhere; its truth is LAPACK's SVD in float64."""
    left, sigma, right = np.linalg.svd(matrix.double().numpy(), full_matrices=False)
    return Known(matrix, sigma, left[:, 0], right[0])
