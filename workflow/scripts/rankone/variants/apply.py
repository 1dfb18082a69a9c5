"""Variants: recipes that make a model from the base and an update.

Applied to one matrix a recipe gives the change that replaces the update; nothing is
written to disk.
"""

from collections.abc import Callable

import torch

from rankone.linalg.random_matrices import bulk_matched, haar
from rankone.linalg.svd import RESOLUTION, Factors, leading
from rankone.seeding import random_generator
from rankone.variants.grammar import Recipe

Update = Callable[[], torch.Tensor]


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
