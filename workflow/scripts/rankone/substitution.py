"""Variants applied in place to one loaded model, and the base restored bit for bit."""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

import torch
from transformers import PreTrainedModel

from rankone.checkpoints import Handles, check_match, opened, own_weights, read
from rankone.factors import load_factors
from rankone.recipes import Recipe
from rankone.updates import locate
from rankone.variants import change


@contextmanager
def sources(base: list[Path], checkpoint: str | None, factors: str | None) -> Iterator:
    """Open base, checkpoint and factors; the last two may be None (the base alone)."""
    rest = [opened([Path(p)]) if p else nullcontext({}) for p in (checkpoint, factors)]
    with opened(base) as before, rest[0] as trained, rest[1] as kept:
        if checkpoint:
            check_match(before, trained, checkpoint)
        yield before, trained, kept


def substituted_weight(
    name: str,
    recipe: Recipe,
    files: tuple[Handles, Handles, Handles],
    others: str,
    seed: int,
) -> torch.Tensor | None:
    """The float32 weight that a recipe gives one tensor, or None for the base's own.

    `full` is the trained checkpoint itself. Other recipes act on the substituted
    matrices; every other tensor follows the policy `others` (`base` or `trained`).
    """
    base, trained, kept = files
    if recipe.kind == "full":
        return read(trained, name)
    if not locate(name):
        return read(trained, name) if others == "trained" else None
    start = read(base, name)
    return start + change(
        recipe,
        load_factors(kept, name),
        lambda: read(trained, name) - start,
        *(seed, name),
    )


@torch.no_grad()
def substitute(
    model: PreTrainedModel, recipe: Recipe, files: tuple, others: str, seed: int
) -> None:
    """Write a variant's weights into a model that holds the base."""
    for name, parameter in own_weights(model).items():
        weight = substituted_weight(name, recipe, files, others, seed)
        if weight is not None:
            parameter.copy_(weight)


@torch.no_grad()
def restore(model: PreTrainedModel, base: Handles) -> None:
    """Write the base's weights back and check every one of them, bit for bit."""
    for name, parameter in own_weights(model).items():
        weight = read(base, name).to(parameter.dtype)
        parameter.copy_(weight)
        if not torch.equal(parameter.cpu(), weight):
            raise RuntimeError(f"{name} could not be restored to the base's weights")


@contextmanager
def substituted(
    model: PreTrainedModel, recipe: Recipe, files: tuple, others: str, seed: int
) -> Iterator[None]:
    """Within the block `model` is the variant; after it, the base again."""
    try:
        substitute(model, recipe, files, others, seed)
        yield
    finally:
        restore(model, files[0])
