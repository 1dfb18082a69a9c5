"""Variants applied in place to one loaded model, and the base restored bit for bit."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from transformers import PreTrainedModel

from rankone.errors import UserError
from rankone.names import BASE
from rankone.variants.apply import MatrixUpdate, change
from rankone.variants.grammar import Recipe, parse
from rankone.weights.checkpoints import (
    WeightMap,
    check_match,
    index,
    own_weights,
    read,
    shapes,
)
from rankone.weights.factors import load_factors
from rankone.weights.updates import locate, read_trained, read_update


@dataclass(frozen=True)
class StepWeights:
    """The weights that variants of one exported step are made from, tensor by tensor.

    `checkpoint` and `factors` are empty for the base alone.
    """

    base: WeightMap
    checkpoint: WeightMap
    factors: WeightMap

    def base_files(self) -> list[Path]:
        """The base's weight files, sorted."""
        return sorted(set(self.base.values()))

    def paths(self) -> tuple[list[str], str | None, str | None]:
        """Arguments with which another process opens the same files."""
        checkpoint, factors = (
            next((str(file) for file in files.values()), None)
            for files in (self.checkpoint, self.factors)
        )
        return [str(file) for file in self.base_files()], checkpoint, factors


def open_step_weights(
    base: Sequence[str | Path], checkpoint: str | None, factors: str | None
) -> StepWeights:
    """Index base, checkpoint and factors; the last two may be None (the base alone)."""
    before = index([Path(file) for file in base])
    trained, kept = (index([Path(p)] if p else []) for p in (checkpoint, factors))
    if checkpoint:
        check_match(before, trained, checkpoint)
    return StepWeights(base=before, checkpoint=trained, factors=kept)


def covered(recipe: Recipe, base: WeightMap) -> list[str]:
    """Names of the matrices that a recipe changes, sorted.

    Raises UserError when the base lacks the layer, the modules or the direction.
    """
    found = shapes(base)
    places = {name: locate(name) for name in sorted(found) if locate(name)}
    last = max((layer for layer, _ in places.values()), default=-1)
    if recipe.layers and recipe.layers[1] > last:
        raise UserError(
            f"Variant {recipe.name} names layer {recipe.layers[1]}, but the model's "
            f"last layer is {last} (the first is 0); correct the name."
        )
    names = [name for name, place in places.items() if recipe.covers(*place)]
    if not names:
        raise UserError(f"Variant {recipe.name} covers no matrix of the model.")
    most = max(min(found[name]) for name in names)
    if recipe.rank and recipe.rank > most:
        raise UserError(
            f"Variant {recipe.name} needs {recipe.rank} singular directions, but the "
            f"matrices that it covers have at most {most}; name fewer."
        )
    return names


def chosen(names: list[str], base: WeightMap) -> dict[str, Recipe | None]:
    """The recipe of every variant; None for `base`, the model as it is.

    Raises UserError for a recipe that this model cannot have.
    """
    found = {name: None if name == BASE else parse(name) for name in names}
    for recipe in filter(None, found.values()):
        covered(recipe, base)
    return found


def matrix_update(name: str, weights: StepWeights, seed: int) -> MatrixUpdate:
    """The update of one matrix: stored factors, the whole read on demand."""
    return MatrixUpdate(
        factors=load_factors(weights.factors, name),
        whole=lambda: read_update(weights.base, weights.checkpoint, name),
        seed=seed,
        tensor=name,
    )


def substituted_weight(
    name: str, recipe: Recipe, weights: StepWeights, others: str, seed: int
) -> torch.Tensor | None:
    """The float32 weight that a recipe gives one tensor, or None for the base's own.

    `full` is the trained checkpoint itself. Other recipes act on the matrices that they
    cover; tensors other than the seven maps follow the policy `others` (`base` or
    `trained`).
    """
    place = locate(name)
    if recipe.trained or (not place and others == "trained"):
        return read_trained(weights.base, weights.checkpoint, name)
    if not place or not recipe.covers(*place):
        return None
    update = matrix_update(name, weights, seed)
    return read(weights.base, name) + change(recipe, update)


@torch.no_grad()
def substitute(
    model: PreTrainedModel,
    recipe: Recipe,
    weights: StepWeights,
    others: str,
    seed: int,
) -> None:
    """Write a variant's weights into a model that holds the base."""
    for name, parameter in own_weights(model).items():
        weight = substituted_weight(name, recipe, weights, others, seed)
        if weight is not None:
            parameter.copy_(weight)


@torch.no_grad()
def restore(model: PreTrainedModel, base: WeightMap) -> None:
    """Write the base's weights back and check every one of them, bit for bit."""
    for name, parameter in own_weights(model).items():
        weight = read(base, name).to(parameter.dtype)
        parameter.copy_(weight)
        if not torch.equal(parameter.cpu(), weight):
            raise RuntimeError(f"{name} could not be restored to the base's weights")


@contextmanager
def substituted(
    model: PreTrainedModel,
    recipe: Recipe | None,
    weights: StepWeights,
    others: str,
    seed: int,
) -> Iterator[None]:
    """Within the block `model` is the variant; after it, the base again.

    Without a recipe it is the base all the time.
    """
    if recipe is None:
        yield
        return
    try:
        substitute(model, recipe, weights, others, seed)
        yield
    finally:
        restore(model, weights.base)
