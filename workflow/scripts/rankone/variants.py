"""Variants: recipes that make a model from the base and an update.

Applied to one matrix a recipe gives the change that replaces the update; nothing is
written to disk.
"""

import hashlib
from collections.abc import Callable

import torch

from rankone.recipes import Recipe
from rankone.svd import RESOLUTION, Factors, leading

Update = Callable[[], torch.Tensor]


def random_generator(seed: int, tensor: str) -> torch.Generator:
    """Random numbers of one tensor; they do not depend on the order of the tensors."""
    key = hashlib.sha256(f"{seed}:{tensor}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(key[:7], "big"))


def haar(rows: int, columns: int, generator: torch.Generator) -> torch.Tensor:
    """A matrix [rows, columns] with orthonormal columns, uniform (Haar) among all.

    QR of a Gaussian. Its signs depend on the algorithm; those of the triangle's
    diagonal make up for it (Mezzadri, 2007, "How to generate random matrices from the
    classical compact groups").
    """
    gaussian = torch.randn(rows, columns, generator=generator)
    vectors, triangle = torch.linalg.qr(gaussian)
    return vectors * triangle.diagonal().sign()


def bulk_matched(update: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """A matrix [out, in] with all singular values of the update and random vectors.

    An SVD is not needed. For a tall update [m, n] the triangle R of its QR [n, n] has
    the same singular values; L R Q with Haar-random L [m, n] and Q [n, n] keeps them,
    and turns the singular vectors on both sides into uniform ones, independent of the
    update's. Three QRs and two products: about 11 n^3 operations where m = n.
    """
    if update.shape[0] < update.shape[1]:
        return bulk_matched(update.T, generator).T
    triangle = torch.linalg.qr(update, mode="r")[1]
    rows, columns = update.shape
    left = haar(rows, columns, generator) @ triangle
    return left @ haar(columns, columns, generator)


def needed_factors(
    recipe: Recipe, factors: Factors, update: Update
) -> tuple[Factors, int]:
    """Factors with at least the triplets that a recipe needs, and how many it needs.

    They are computed from the update if fewer are stored.
    """
    wanted = recipe.triplets(min(len(factors.left), factors.right.shape[1]))
    stored = len(factors.sigma)
    return (factors if wanted <= stored else leading(update(), wanted)), wanted


def change_factors(
    recipe: Recipe, factors: Factors, update: Update, seed: int, tensor: str
) -> tuple[torch.Tensor, torch.Tensor]:
    """Factors [out, k] and [k, in] float32 of the change of a recipe of low rank.

    The square roots of the singular values are in both. Rescaled recipes and single
    directions get the Frobenius norm of the whole update (AlphaRL, eq. 3 and its curve
    of single subspaces); where they are mere rounding, or there is no such direction,
    the change is zero.
    """
    factors, wanted = needed_factors(recipe, factors, update)
    single = recipe.kind == "direction"
    kept = slice(recipe.rank - 1 if single else 0, wanted)
    left, sigma, right = factors.left[:, kept], factors.sigma[kept], factors.right[kept]
    if recipe.kind == "random_rank":
        generator = random_generator(seed, tensor)
        left = haar(*left.shape, generator)
        right = haar(*right.T.shape, generator).T
    if recipe.rescaled or single:
        norm = torch.linalg.vector_norm(sigma).item()
        real = norm > RESOLUTION * factors.sigma[0].item()
        sigma = sigma * (factors.norm / norm if real else 0.0)
    root = (recipe.scale * sigma).sqrt()
    return left * root, root[:, None] * right


def dense_change(
    recipe: Recipe, factors: Factors, update: Update, seed: int, tensor: str
) -> torch.Tensor:
    """The change [out, in] of a recipe that keeps more than a few directions.

    `shrunk` is the whole update scaled to the norm of its rank-1 part.
    """
    if recipe.kind == "shrunk":
        share = factors.sigma[0].item() / factors.norm if factors.norm > 0 else 0.0
        return update() * share
    if recipe.kind == "bulk_matched":
        return bulk_matched(update(), random_generator(seed, tensor))
    if recipe.kind == "without_rank":
        factors, wanted = needed_factors(recipe, factors, update)
        return update() - factors.part(wanted)
    return update()


def change(
    recipe: Recipe, factors: Factors, update: Update, seed: int, tensor: str
) -> torch.Tensor:
    """The change of one matrix [out, in] float32 that a recipe puts for the update.

    `update` is called only by recipes that need more than the stored factors. `seed`
    and the tensor's name decide the random variants.
    """
    if recipe.low_rank:
        left, right = change_factors(recipe, factors, update, seed, tensor)
        return left @ right
    return recipe.scale * dense_change(recipe, factors, update, seed, tensor)
