"""Updates of weight matrices: which tensors, their SVD, and what it says."""

import re
from dataclasses import dataclass

import numpy as np
import torch

MODULES = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
MATRIX = re.compile(rf"\.layers\.(\d+)\.\w+\.({'|'.join(MODULES)})\.weight$")
# Below this relative gap the first two directions may mix freely under perturbations
# of the size of float32 rounding and bfloat16 rollouts: no direction is reported.
MINIMUM_GAP = 0.02


@dataclass(frozen=True)
class Factors:
    """Leading singular triplets of one update (global: step t against the base).

    `left` [out, k], `sigma` [k], `right` [k, in], float32, in descending order;
    `norm` is the exact Frobenius norm of the whole update.
    """

    left: torch.Tensor
    sigma: torch.Tensor
    right: torch.Tensor
    norm: float

    def part(self, rank: int) -> torch.Tensor:
        """The best approximation of the update with that rank [out, in]."""
        left, right = self.left[:, :rank], self.right[:rank]
        return (left * self.sigma[:rank]) @ right


def locate(name: str) -> tuple[int, str] | None:
    """Layer and module of a substituted weight matrix; None for every other tensor."""
    match = MATRIX.search(name)
    return (int(match[1]), match[2]) if match else None


def fix_signs(left: torch.Tensor, right: torch.Tensor) -> tuple:
    """Make the largest entry of each left vector positive, so that signs are unique."""
    columns = torch.arange(left.shape[1])
    signs = left[left.abs().argmax(0), columns].sign()
    signs = torch.where(signs == 0, torch.ones_like(signs), signs)
    return left * signs, right * signs[:, None]


def decompose(update: torch.Tensor, rank: int) -> tuple[Factors, torch.Tensor]:
    """Leading `rank` triplets and all singular values of an update [out, in] float32.

    Exact thin SVD. `rank` is cut to the short side.
    """
    left, sigma, right = torch.linalg.svd(update, full_matrices=False)
    rank = min(rank, len(sigma))
    left, right = fix_signs(left[:, :rank], right[:rank])
    norm = torch.linalg.matrix_norm(update.double()).item()
    factors = Factors(left.contiguous(), sigma[:rank].clone(), right.contiguous(), norm)
    return factors, sigma


def residual(update: torch.Tensor, factors: Factors) -> float:
    """||update v_1 - sigma_1 u_1|| / sigma_1; 0 for a zero update."""
    sigma = factors.sigma[0]
    if sigma == 0:
        return 0.0
    image = update @ factors.right[0]
    return (torch.linalg.vector_norm(image - sigma * factors.left[:, 0]) / sigma).item()


def stable_rank(sigma: np.ndarray) -> float:
    """||A||_F^2 / sigma_1^2, NaN for a zero matrix."""
    return float((sigma**2).sum() / sigma[0] ** 2) if sigma[0] > 0 else float("nan")


def effective_rank(sigma: np.ndarray) -> float:
    """exp of the entropy of sigma_i^2 / sum sigma^2; NaN for a zero matrix."""
    if sigma[0] == 0:
        return float("nan")
    share = (sigma / sigma[0]) ** 2
    share = share[share > 0] / share.sum()
    return float(np.exp(-(share * np.log(share)).sum()))


def describe(update: torch.Tensor, base_norm: float, rank: int) -> tuple:
    """Factors, all singular values, and one row of statistics of an update.

    `norm_share` is sigma_1 / ||update||_F and `energy_share` its square; `relative_gap`
    is 1 - sigma_2 / sigma_1, and `identifiable` says whether it reaches MINIMUM_GAP.
    """
    factors, singular = decompose(update, rank)
    sigma = singular.double().numpy()
    share = sigma[0] / factors.norm if factors.norm > 0 else float("nan")
    second = sigma[1] if len(sigma) > 1 else 0.0
    gap = 1 - second / sigma[0] if sigma[0] > 0 else 0.0
    row = {
        "rows": update.shape[0],
        "columns": update.shape[1],
        "frobenius_norm": factors.norm,
        "base_norm": base_norm,
        "sigma_1": sigma[0],
        "norm_share": share,
        "energy_share": share**2,
        "stable_rank": stable_rank(sigma),
        "effective_rank": effective_rank(sigma),
        "relative_gap": gap,
        "residual": residual(update, factors),
        "identifiable": bool(gap >= MINIMUM_GAP),
    }
    return factors, sigma, row
