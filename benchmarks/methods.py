"""The calls that are compared: Rankone's, and the peers' written independently.

`LEADING` gives the first triplet (left [m], sigma, right [n], identifiable or None),
`VALUES` all singular values [min(m, n)], each from one float32 matrix [m, n].
"""

import scipy.sparse.linalg
import torch
from threadpoolctl import threadpool_limits

from rankone.linalg import svd
from rankone.runtime.device import set_up

RANK = 1
THREADS = 2


def limit_threads() -> None:
    """The same number of threads for torch and for the BLAS of NumPy and SciPy."""
    set_up(THREADS)
    threadpool_limits(THREADS)


def rankone(matrix: torch.Tensor) -> tuple:
    """Certified triplet."""
    found = svd.leading(matrix, RANK)
    return found.left[:, 0], found.sigma[0], found.right[0], bool(found.identifiable[0])


def full_svd(matrix: torch.Tensor) -> tuple:
    """The whole thin SVD, of which one triplet is kept."""
    left, sigma, right = torch.linalg.svd(matrix, full_matrices=False)
    return left[:, 0], sigma[0], right[0], None


def sketch(matrix: torch.Tensor) -> tuple:
    """Randomised subspace iteration with a fixed number of steps."""
    left, sigma, right = torch.svd_lowrank(matrix, q=RANK + 4, niter=4)
    return left[:, 0], sigma[0], right[:, 0], None


def arpack(matrix: torch.Tensor) -> tuple:
    """Lanczos iteration on the Gram operator."""
    found = scipy.sparse.linalg.svds(matrix.numpy(), k=RANK, rng=0)
    left, sigma, right = (torch.from_numpy(part.copy()) for part in found)
    return left[:, 0], sigma[0], right[0], None


LEADING = {
    "Rankone": rankone,
    "torch.linalg.svd": full_svd,
    "torch.svd_lowrank": sketch,
    "scipy svds": arpack,
}
VALUES = {
    "Rankone values": lambda matrix: svd.singular_values(matrix)[0],
    "svdvals float64": lambda matrix: torch.linalg.svdvals(matrix.double()),
    "svdvals float32": torch.linalg.svdvals,
}
# Their time hardly depends on the spectrum, and grows fastest with the size.
LAPACK = ("torch.linalg.svd", "svdvals float64", "svdvals float32")
