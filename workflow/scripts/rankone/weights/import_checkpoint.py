"""Imported weights as a checkpoint: float32, the base's names, one tensor at a time."""

import json
import struct
from collections.abc import Callable
from math import prod, sqrt
from pathlib import Path

import torch

from rankone.artefacts import sealing
from rankone.errors import UserError
from rankone.weights import checkpoints
from rankone.weights.checkpoints import WeightMap, read
from rankone.weights.import_plan import FLOAT32_BYTES, ImportPlan, Shapes


def write_float32(
    path: str | Path,
    shapes: Shapes,
    get: Callable[[str], torch.Tensor],
    metadata: dict[str, str],
) -> None:
    """Write a safetensors file of float32 tensors, of which `get` gives one by name.

    The safetensors library writes whole models from memory; this holds one tensor. The
    format: length of the header, the header as JSON, the tensors' bytes in its order.
    """
    entries, end = {"__metadata__": metadata}, 0
    for name, shape in shapes.items():
        start, end = end, end + FLOAT32_BYTES * prod(shape)
        entries[name] = {"dtype": "F32", "shape": shape, "data_offsets": [start, end]}
    header = json.dumps(entries).encode()
    header += b" " * (-len(header) % 8)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(header)) + header)
        for name in shapes:
            file.write(get(name).contiguous().numpy().data)


def scaling(adapter: dict, weight: str, rank: int) -> float:
    """What PEFT multiplies the product of an adapter's factors with."""
    from peft.utils.other import get_pattern_key

    alphas = adapter.get("alpha_pattern") or {}
    key = get_pattern_key(alphas.keys(), weight.removesuffix(".weight"))
    alpha = alphas.get(key, adapter["lora_alpha"])
    return alpha / (sqrt(rank) if adapter.get("use_rslora") else rank)


def read_source(plan: ImportPlan, found: WeightMap, name: str) -> torch.Tensor:
    """One tensor of the checkpoint, float32; the scaling is within `lora_B`."""
    tensor = read(found, plan.names[name])
    if plan.adapter and name.endswith(":lora_B"):
        weight = name.removesuffix(":lora_B")
        tensor = tensor * scaling(plan.adapter, weight, tensor.shape[1])
    return tensor


def moves(name: str, tensor: torch.Tensor, base: WeightMap) -> bool:
    """Whether a tensor of a checkpoint changes the base."""
    if ":" in name:
        return name.endswith(":lora_B") and bool(tensor.any())
    return not torch.equal(tensor, read(base, name))


def convert(
    plan: ImportPlan, base: WeightMap, path: str | Path, metadata: dict
) -> None:
    """Write the checkpoint of a plan; UserError if it is the base, or another model."""
    found = checkpoints.index(plan.files)
    folder = plan.files[0].parent
    if plan.tied and not torch.equal(*(read(found, name) for name in plan.tied)):
        raise UserError(
            f"{folder} has another architecture than the study's model: its head is "
            "not the embedding, to which the model's is tied."
        )
    changed = False

    def get(name: str) -> torch.Tensor:
        nonlocal changed
        tensor = read_source(plan, found, name)
        changed = changed or moves(name, tensor, base)
        return tensor

    with sealing(path, metadata) as (temporary, header):
        write_float32(temporary, plan.shapes, get, header)
        if not changed:
            raise UserError(f"{folder} holds the base itself: nothing was trained.")
