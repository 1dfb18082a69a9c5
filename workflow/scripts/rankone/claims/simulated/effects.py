"""Effects that are planted in simulated weights: those of several claims.

An effect makes a matrix from the base's and from random numbers; its norm does not
matter. Torch is imported inside, since claims refer to effects and are light.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

Effect = Callable[["torch.Tensor", "torch.Generator"], "torch.Tensor"]
BASE_RANK = 4  # of the base's leading subspaces


def noise(shape: tuple[int, int], generator: "torch.Generator") -> "torch.Tensor":
    """Gaussian entries of variance one over the number of columns."""
    import torch

    return torch.randn(*shape, generator=generator) / shape[1] ** 0.5


def power_law(matrix: "torch.Tensor", generator: "torch.Generator") -> "torch.Tensor":
    """Random singular vectors with singular values i^-1: a heavy tail."""
    import torch

    rows, columns = matrix.shape
    left = torch.linalg.qr(torch.randn(rows, rows, generator=generator))[0]
    right = torch.linalg.qr(torch.randn(columns, columns, generator=generator))[0]
    count = min(rows, columns)
    sigma = 1 / torch.arange(1, count + 1)
    return (left[:, :count] * sigma) @ right[:count]


def spike(matrix: "torch.Tensor", generator: "torch.Generator") -> "torch.Tensor":
    """A random matrix of rank 1."""
    import torch

    rows, columns = matrix.shape
    return torch.outer(
        torch.randn(rows, generator=generator),
        torch.randn(columns, generator=generator),
    )


def sparse(base: "torch.Tensor", generator: "torch.Generator") -> "torch.Tensor":
    """Noise in a quarter of the entries."""
    import torch

    chosen = torch.rand(base.shape, generator=generator) < 0.25
    return noise(base.shape, generator) * chosen
