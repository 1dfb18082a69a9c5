"""Weights on disk: float32 safetensors, read one tensor at a time."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from transformers import PreTrainedModel

from rankone.errors import UserError
from rankone.files import replacing

Handles = dict[str, "safe_open"]


def own_weights(model: PreTrainedModel) -> dict[str, torch.Tensor]:
    """A model's parameters by name, those that share memory (tied) only once."""
    return {name: tensor.detach() for name, tensor in model.named_parameters()}


def export(model: PreTrainedModel, path: str | Path, metadata: dict) -> None:
    """Write a model's parameters as one float32 safetensors file, whole or not at all.

    `metadata` goes into the header as strings.
    """
    weights = {
        name: tensor.to("cpu", torch.float32).contiguous()
        for name, tensor in own_weights(model).items()
    }
    with replacing(path) as temporary:
        save_file(weights, temporary, {k: str(v) for k, v in metadata.items()})


@contextmanager
def opened(files: list[Path]) -> Iterator[Handles]:
    """Open safetensors files, sharded or not; yield a handle for each tensor's name.

    Raises UserError naming a file that is not a whole safetensors file.
    """
    with ExitStack() as stack:
        handles: Handles = {}
        for file in files:
            try:
                handle = stack.enter_context(safe_open(file, "pt"))
            except (SafetensorError, OSError) as error:
                raise UserError(
                    f"{file} is not a readable safetensors file ({error}): it is "
                    "missing, cut off or damaged. Delete it and run the same command "
                    "again to make it anew."
                ) from error
            handles |= {name: handle for name in handle.keys()}  # noqa: SIM118
        yield handles


def read(handles: Handles, name: str) -> torch.Tensor:
    """One tensor in float32; UserError naming it when it has NaN or Inf."""
    tensor = handles[name].get_tensor(name).float()
    if not torch.isfinite(tensor).all():
        raise UserError(f"Tensor {name} holds NaN or Inf: the training diverged.")
    return tensor


def check_match(base: Handles, trained: Handles, where: str | Path) -> None:
    """Raise UserError listing tensors that are missing, extra or of another shape."""
    problems = [f"{name} is missing" for name in base.keys() - trained.keys()]
    problems += [f"{name} is not in the base" for name in trained.keys() - base.keys()]
    for name in base.keys() & trained.keys():
        shapes = [h[name].get_slice(name).get_shape() for h in (base, trained)]
        if shapes[0] != shapes[1]:
            problems.append(f"{name} has shape {shapes[1]}, the base {shapes[0]}")
    if problems:
        raise UserError(f"{where} does not fit the base: {'; '.join(sorted(problems))}")


def metadata(path: str | Path) -> dict[str, str]:
    """The metadata in a safetensors file's header."""
    with safe_open(path, "pt") as handle:
        return handle.metadata() or {}
