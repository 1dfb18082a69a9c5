"""Weights on disk: float32 safetensors, read one tensor at a time.

peft and transformers are imported where a model is written: they take seconds and
hundreds of megabytes, and reading needs neither.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from rankone.artefacts import sealing
from rankone.errors import UserError
from rankone.files import sha256
from rankone.weights.model_files import weight_files

if TYPE_CHECKING:
    from peft import PeftModel
    from transformers import PreTrainedModel

WeightMap = dict[str, Path]


def weights_hash(folder: str | Path) -> str:
    """One hash for a model folder's weights."""
    return "-".join(sha256(file)[:16] for file in weight_files(folder))


def own_weights(model: "PreTrainedModel") -> dict[str, torch.Tensor]:
    """A model's parameters by name, those that share memory (tied) only once."""
    return {name: tensor.detach() for name, tensor in model.named_parameters()}


def whole(parameter: torch.nn.Parameter) -> torch.Tensor:
    """A parameter in full, from all processes if each has a part (all must call it).

    Under DeepSpeed these are the optimizer's float32 weights.
    """
    if hasattr(parameter, "full_tensor"):  # FSDP2
        return parameter.detach().full_tensor()
    if hasattr(parameter, "ds_id"):  # ZeRO-3
        from deepspeed.utils import safe_get_full_fp32_param

        return safe_get_full_fp32_param(parameter)
    return parameter.detach()


def full_weights(model: "PreTrainedModel") -> Iterator[tuple[str, torch.Tensor]]:
    """The tensors of own_weights() in full, one after another."""
    for name, parameter in model.named_parameters():
        yield name, whole(parameter)


def adapter_weights(model: "PeftModel") -> Iterator[tuple[str, torch.Tensor]]:
    """The LoRA factors of each adapted weight, the scaling within `lora_B`.

    `NAME:lora_B` [out, r] times `NAME:lora_A` [r, in] is the update of the weight NAME.
    """
    from peft.tuners.lora import LoraLayer

    for path, layer in model.get_base_model().named_modules():
        if isinstance(layer, LoraLayer):
            (active,) = layer.active_adapters
            yield f"{path}.weight:lora_A", whole(layer.lora_A[active].weight)
            second = whole(layer.lora_B[active].weight)
            yield f"{path}.weight:lora_B", second.float() * layer.scaling[active]


def export(
    model: "PreTrainedModel | PeftModel", path: str | Path | None, metadata: dict
) -> None:
    """Write a model's parameters as one float32 safetensors file, whole or not at all.

    Of a LoRA model only the factors. `metadata` goes into the header as strings. Of
    several processes all must call it, and one alone gives a path.
    """
    from peft import PeftModel

    weights = {}
    lora = isinstance(model, PeftModel)
    for name, tensor in (adapter_weights if lora else full_weights)(model):
        if path is not None:
            weights[name] = tensor.to("cpu", torch.float32).contiguous()
    if path is None:
        return
    with sealing(path, metadata) as (temporary, header):
        save_file(weights, temporary, header)


def index(files: list[Path]) -> WeightMap:
    """The file of each tensor's name in safetensors files, sharded or not.

    Raises UserError naming a file that is not a whole safetensors file.
    """
    handles: WeightMap = {}
    for file in files:
        try:
            with safe_open(file, "pt") as handle:
                handles |= dict.fromkeys(handle.keys(), file)
        except (SafetensorError, OSError) as error:
            raise UserError(
                f"{file} is not a readable safetensors file ({error}): it is "
                "missing, cut off or damaged. Delete it and run the same command "
                "again to make it anew."
            ) from error
    return handles


def read(handles: WeightMap, name: str) -> torch.Tensor:
    """One tensor in float32; UserError naming it when it has NaN or Inf.

    It may be a view of the file: do not write into it. The file is opened for each
    tensor, since pages that were read through a mapping count as this process's memory
    for as long as the mapping lasts.
    """
    with safe_open(handles[name], "pt") as handle:
        tensor = handle.get_tensor(name).float()
    # A finite sum, which is fast, has finite terms; a sum can also overflow.
    if not tensor.sum().isfinite() and not tensor.isfinite().all():
        raise UserError(
            f"Tensor {name} in {handles[name]} holds NaN or Inf: the training diverged."
        )
    return tensor


def shapes(handles: WeightMap) -> dict[str, list[int]]:
    """The shape of every weight; LoRA factors count as the weight they change."""
    found = {}
    for file in set(handles.values()):
        with safe_open(file, "pt") as handle:
            found |= {n: handle.get_slice(n).get_shape() for n in handle.keys()}  # noqa: SIM118
    for name in [name for name in found if name.endswith(":lora_B")]:
        weight = name.removesuffix(":lora_B")
        rows, columns = found.pop(name)[0], found.pop(f"{weight}:lora_A")[1]
        found[weight] = [rows, columns]
    return found


def check_match(base: WeightMap, trained: WeightMap, where: str | Path) -> None:
    """Raise UserError listing tensors that are missing, extra or of another shape.

    A LoRA checkpoint has only the tensors that it changes.
    """
    expected, found = shapes(base), shapes(trained)
    missing = set() if found.keys() - trained.keys() else expected.keys() - found.keys()
    problems = [f"{name} is missing" for name in missing]
    problems += [f"{name} is not in the base" for name in found.keys() - expected]
    problems += [
        f"{name} has shape {found[name]}, the base {expected[name]}"
        for name in expected.keys() & found.keys()
        if expected[name] != found[name]
    ]
    if problems:
        raise UserError(f"{where} does not fit the base: {'; '.join(sorted(problems))}")
