"""Variants: recipes that make a model from the base and an update.

A recipe is a name such as `rank4_rescaled`. Applied to one matrix it gives the change
that replaces the update; nothing is written to disk.
"""

import hashlib
from collections.abc import Callable

import torch

from rankone.recipes import Recipe
from rankone.updates import Factors


def random_part(factors: Factors, rank: int, seed: int, tensor: str) -> torch.Tensor:
    """A matrix with the same leading singular values and random singular vectors.

    The vectors are uniform (QR of a Gaussian), drawn from the seed and the tensor's
    name, so that they do not depend on the order of the tensors.
    """
    key = hashlib.sha256(f"{seed}:{tensor}".encode()).digest()
    generator = torch.Generator().manual_seed(int.from_bytes(key[:7], "big"))
    shapes = (factors.left[:, :rank].shape, factors.right[:rank].T.shape)
    left, right = (
        torch.linalg.qr(torch.randn(shape, generator=generator))[0] for shape in shapes
    )
    return (left * factors.sigma[:rank]) @ right.T


def change(
    recipe: Recipe,
    factors: Factors,
    update: Callable[[], torch.Tensor],
    seed: int,
    tensor: str,
) -> torch.Tensor:
    """The change of one matrix [out, in] float32 that a recipe puts for the update.

    `update` is called only by recipes that need more than the factors. `shrunk` is the
    whole update scaled to the norm of its rank-1 part; `rank1_rescaled` is the rank-1
    part scaled to the Frobenius norm of the update (AlphaRL, eq. 3).
    """
    if recipe.kind == "full":
        return update()
    if recipe.kind == "shrunk":
        share = factors.sigma[0].item() / factors.norm if factors.norm > 0 else 0.0
        return update() * share
    if recipe.kind == "random_rank":
        return random_part(factors, recipe.rank, seed, tensor)
    part = factors.part(recipe.rank)
    if recipe.kind == "without_rank":
        return update() - part
    if recipe.rescaled and factors.norm > 0:
        part *= factors.norm / torch.linalg.vector_norm(factors.sigma[: recipe.rank])
    return part
