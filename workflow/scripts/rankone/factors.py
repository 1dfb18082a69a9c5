"""Factors on disk: one safetensors file a step, with where they come from."""

from pathlib import Path

import torch
from safetensors.torch import save_file

from rankone.checkpoints import Handles
from rankone.files import replacing
from rankone.updates import Factors


def save_factors(path: str | Path, factors: dict[str, Factors], origin: dict) -> None:
    """Write the factors of every matrix; `origin` goes into the header as strings."""
    tensors = {}
    for name, kept in factors.items():
        tensors[f"{name}:left"] = kept.left
        tensors[f"{name}:sigma"] = kept.sigma
        tensors[f"{name}:right"] = kept.right
        tensors[f"{name}:norm"] = torch.tensor([kept.norm], dtype=torch.float64)
    with replacing(path) as temporary:
        save_file(tensors, temporary, {k: str(v) for k, v in origin.items()})


def load_factors(handles: Handles, name: str) -> Factors:
    """The factors of the matrix `name` from an opened file of `save_factors`."""
    left, sigma, right, norm = (
        handles[f"{name}:{part}"].get_tensor(f"{name}:{part}")
        for part in ("left", "sigma", "right", "norm")
    )
    return Factors(left, sigma, right, norm.item())
