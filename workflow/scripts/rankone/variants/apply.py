"""Variants: recipes that make a model from the base and an update.

Applied to one matrix a recipe gives the change that replaces the update; nothing is
written to disk.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch

from rankone.linalg.svd import RESOLUTION, Factors, leading
from rankone.seeding import random_generator
from rankone.variants.grammar import Recipe

Triplets = tuple[torch.Tensor, torch.Tensor, torch.Tensor]  # left, sigma, right


@dataclass(frozen=True)
class MatrixUpdate:
    """The update of one weight matrix [out, in], as a kind sees it.

    `factors` are leading triplets of it, at least as many as the variant's name says;
    `whole` computes the update itself, float32. `seed` and the tensor's name decide
    random kinds.
    """

    factors: Factors
    whole: Callable[[], torch.Tensor]
    seed: int | str
    tensor: str

    def generator(self) -> torch.Generator:
        """Random numbers of this matrix, the same at every call."""
        return random_generator(self.seed, self.tensor)


def prepared(recipe: Recipe, update: MatrixUpdate) -> tuple[MatrixUpdate, int]:
    """The update with at least the triplets that a recipe needs, and its number.

    They are computed from the whole update if fewer are stored.
    """
    factors = update.factors
    short = min(len(factors.left), factors.right.shape[1])
    wanted = recipe.triplets(short)
    if wanted > len(factors.sigma):
        update = replace(update, factors=leading(update.whole(), wanted))
    return update, recipe.number(short)


def rescaled(sigma: torch.Tensor, factors: Factors) -> torch.Tensor:
    """Singular values [k] of a part of an update, scaled to the whole one's norm.

    Zeros where they are mere rounding, or there are none.
    """
    norm = torch.linalg.vector_norm(sigma).item()
    real = norm > RESOLUTION * factors.sigma[0].item()
    return sigma * (factors.norm / norm if real else 0.0)


def balanced(
    recipe: Recipe, update: MatrixUpdate, triplets: Triplets
) -> tuple[torch.Tensor, torch.Tensor]:
    """Triplets as factors [out, k] and [k, in], with the recipe's scales.

    The square roots of the singular values are in both. Rescaled recipes get the
    Frobenius norm of the whole update (AlphaRL, eq. 3).
    """
    left, sigma, right = triplets
    if recipe.rescaled:
        sigma = rescaled(sigma, update.factors)
    root = (recipe.scale * sigma).sqrt()
    return left * root, root[:, None] * right


def change_factors(
    recipe: Recipe, update: MatrixUpdate
) -> tuple[torch.Tensor, torch.Tensor]:
    """Factors [out, k] and [k, in] float32 of the change of a recipe of low rank."""
    update, number = prepared(recipe, update)
    return balanced(recipe, update, recipe.kind.low_rank(update, number))


def change(recipe: Recipe, update: MatrixUpdate) -> torch.Tensor:
    """The change of one matrix [out, in] float32 that a recipe puts for the update.

    The whole update is read only for recipes that need more than the stored factors.
    """
    kind = recipe.kind
    if kind.low_rank:
        left, right = change_factors(recipe, update)
        return left @ right
    if kind.share:
        return recipe.scale * (update.whole() * kind.share(update))
    return recipe.scale * kind.dense(*prepared(recipe, update))
