"""Factors on disk: one safetensors file a step, with where they come from.

Directions are the first triplets of a whole run in one file.
"""

from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from rankone.artefacts import sealing
from rankone.linalg.svd import Factors
from rankone.weights.checkpoints import WeightMap

PARTS = ("left", "sigma", "right", "residual", "gap")
Trajectory = Mapping[int, Mapping[str, Factors]]  # step -> tensor -> its factors


def save_factors(path: str | Path, factors: dict[str, Factors], origin: dict) -> None:
    """Write the factors of every matrix; `origin` goes into the header as strings."""
    tensors = {}
    for name, kept in factors.items():
        tensors |= {
            f"{name}:{part}": getattr(kept, part).cpu().contiguous() for part in PARTS
        }
        tensors[f"{name}:norm"] = torch.tensor([kept.norm], dtype=torch.float64)
    with sealing(path, origin) as (temporary, metadata):
        save_file(tensors, temporary, metadata)


def load_factors(handles: WeightMap, name: str) -> Factors:
    """The factors of the matrix `name` from an indexed file of `save_factors`."""
    with safe_open(handles[f"{name}:norm"], "pt") as file:
        return from_parts(lambda key: file.get_tensor(key).clone(), name)


def from_parts(get: Callable[[str], torch.Tensor], name: str) -> Factors:
    """The factors of the matrix `name`; `get` gives a tensor by its key."""
    parts = {part: get(f"{name}:{part}") for part in PARTS}
    return Factors(norm=get(f"{name}:norm").item(), **parts)


def save_directions(
    path: str | Path, sources: Mapping[tuple[int, str], str | Path], origin: dict
) -> None:
    """Put the files of `save_factors` of several moments (step, name) into one.

    Keys are STEP-NAME:TENSOR:PART.
    """
    tensors = {
        f"{step}-{name}:{key}": tensor
        for (step, name), source in sources.items()
        for key, tensor in load_file(source).items()
    }
    with sealing(path, origin) as (temporary, metadata):
        save_file(tensors, temporary, metadata)


def load_directions(path: str | Path) -> Trajectory:
    """Factors by step and tensor; at a substitution those just before it."""
    tensors, found = load_file(path), {}
    for key in tensors:
        moment, tensor, part = key.split(":")
        step, name = moment.split("-")
        if part == "norm" and name != "after":
            factors = from_parts(tensors.__getitem__, f"{moment}:{tensor}")
            found.setdefault(int(step), {})[tensor] = factors
    return {step: dict(sorted(found[step].items())) for step in sorted(found)}


def load_steps(files: Mapping[int, str | Path]) -> Trajectory:
    """Factors by step and tensor from the files of `save_factors` of several steps."""
    found = {}
    for step, path in sorted(files.items()):
        tensors = load_file(path)
        names = sorted(
            n for n, part in (k.rsplit(":", 1) for k in tensors) if part == "norm"
        )
        found[step] = {name: from_parts(tensors.__getitem__, name) for name in names}
    return found
