"""Numbers of directions in a matrix, from its singular values."""

import torch


def stable_rank(sigma: torch.Tensor, norm: float) -> float:
    """||A||_F^2 / sigma_1^2, NaN for a zero matrix."""
    first = sigma[0].item()
    return (norm / first) ** 2 if first > 0 else float("nan")


def effective_rank(sigma: torch.Tensor) -> float:
    """exp of the entropy of sigma_i^2 / sum sigma^2; NaN for a zero matrix."""
    if sigma[0] == 0:
        return float("nan")
    share = (sigma / sigma[0]).square()
    share = share[share > 0] / share.sum()
    return torch.exp(-(share * share.log()).sum()).item()
