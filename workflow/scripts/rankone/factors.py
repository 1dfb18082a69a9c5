"""Factors on disk: one safetensors file a step, with where they come from."""

from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file

from rankone.checkpoints import Handles
from rankone.files import replacing
from rankone.svd import Factors

PARTS = ("left", "sigma", "right", "residual", "gap")


def save_factors(path: str | Path, factors: dict[str, Factors], origin: dict) -> None:
    """Write the factors of every matrix; `origin` goes into the header as strings."""
    tensors = {}
    for name, kept in factors.items():
        tensors |= {
            f"{name}:{part}": getattr(kept, part).cpu().contiguous() for part in PARTS
        }
        tensors[f"{name}:norm"] = torch.tensor([kept.norm], dtype=torch.float64)
    with replacing(path) as temporary:
        save_file(tensors, temporary, {k: str(v) for k, v in origin.items()})


def load_factors(handles: Handles, name: str) -> Factors:
    """The factors of the matrix `name` from an indexed file of `save_factors`."""
    with safe_open(handles[f"{name}:norm"], "pt") as file:
        parts = {part: file.get_tensor(f"{name}:{part}").clone() for part in PARTS}
        return Factors(norm=file.get_tensor(f"{name}:norm").item(), **parts)
