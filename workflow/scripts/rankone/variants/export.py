"""Variants as folders: LoRA adapters (PEFT, vLLM) and merged Hugging Face models."""

import json
import shutil
from pathlib import Path

import torch
from peft import LoraConfig
from safetensors.torch import save_file
from torch.nn.functional import pad

from rankone.artefacts import sealing
from rankone.files import replacing_folder
from rankone.runtime.provenance import commit, versions
from rankone.variants.apply import change_factors
from rankone.variants.grammar import Recipe, check_adapter
from rankone.variants.in_place import (
    StepWeights,
    covered,
    matrix_update,
    substituted_weight,
)
from rankone.variants.settings import ExportSettings
from rankone.weights.checkpoints import index, read, weights_hash
from rankone.weights.settings import Model
from rankone.weights.updates import locate

PACKAGES = ("torch", "transformers", "peft", "safetensors")


def provenance(
    run: str,
    step: int,
    recipe: Recipe,
    model_folder: str | Path,
    settings: ExportSettings,
) -> dict:
    """What an artefact was made from, and with which software."""
    return {
        "base": weights_hash(model_folder),
        "run": run,
        "step": step,
        "recipe": recipe.name,
        "seed": settings.seed,
        "others": settings.others,
        "commit": commit(),
    } | versions(PACKAGES)


def save(tensors: dict[str, torch.Tensor], path: Path, record: dict) -> None:
    """Write tensors as safetensors with their provenance in the header."""
    # Transformers refuses a file whose header does not name its framework.
    with sealing(path, {"format": "pt"} | record) as (temporary, header):
        save_file(tensors, temporary, header)


def save_json(value: dict, path: Path) -> None:
    """Write a mapping as JSON."""
    path.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")


def adapter_tensors(
    recipe: Recipe, names: list[str], weights: StepWeights, seed: int
) -> tuple[dict[str, torch.Tensor], int]:
    """LoRA factors by PEFT's names, lora_A [r, in] and lora_B [out, r] float32, and r.

    vLLM wants one r for all matrices: smaller ranks are padded with zeros.
    """
    pairs = {
        name: change_factors(recipe, matrix_update(name, weights, seed))
        for name in names
    }
    rank = max(left.shape[1] for left, _ in pairs.values())
    tensors = {}
    for name, (left, right) in pairs.items():
        stem = f"base_model.model.{name.removesuffix('.weight')}"
        more = rank - left.shape[1]
        tensors[f"{stem}.lora_A.weight"] = pad(right, (0, 0, 0, more)).contiguous()
        tensors[f"{stem}.lora_B.weight"] = pad(left, (0, more)).contiguous()
    return tensors, rank


def adapter_config(recipe: Recipe, names: list[str], rank: int, model: Model) -> dict:
    """PEFT's config of an adapter of the matrices `names` of a base model.

    lora_alpha = r makes the scaling 1.
    """
    places = [locate(name) for name in names]
    layers = sorted({layer for layer, _ in places})
    modules = sorted({module for _, module in places})
    config = LoraConfig(
        base_model_name_or_path=model.origin,
        revision=model.revision,
        task_type="CAUSAL_LM",
        inference_mode=True,
        r=rank,
        lora_alpha=rank,
        target_modules=modules,
        layers_to_transform=layers if recipe.layers else None,
        layers_pattern="layers" if recipe.layers else None,
    )
    # PEFT keeps a set, whose order changes from run to run.
    return config.to_dict() | {"target_modules": modules}


def write_adapter(
    folder: str | Path,
    recipe: Recipe,
    weights: StepWeights,
    settings: ExportSettings,
    record: dict,
) -> None:
    """Write a variant of low rank as a LoRA adapter that PEFT and vLLM load.

    UserError for a variant that no adapter can hold.
    """
    check_adapter(recipe, settings.others)
    names = covered(recipe, weights.base)
    tensors, rank = adapter_tensors(recipe, names, weights, settings.seed)
    with replacing_folder(folder) as target:
        save(tensors, target / "adapter_model.safetensors", record)
        config = adapter_config(recipe, names, rank, settings.model)
        save_json(config, target / "adapter_config.json")
        save_json(record, target / "provenance.json")


def write_merged(
    folder: str | Path,
    recipe: Recipe,
    weights: StepWeights,
    settings: ExportSettings,
    record: dict,
) -> None:
    """Write a variant as a Hugging Face model in the same files as the base.

    Weights are composed in float32 and
    rounded once; one file of the base is in memory at a time.
    """
    covered(recipe, weights.base)
    files = weights.base_files()
    with replacing_folder(folder) as target:
        for file in files[0].parent.glob("[!.]*"):
            if file.is_file() and file.suffix != ".safetensors":
                shutil.copyfile(file, target / file.name)
        for file in files:
            tensors = merged_weights(file, recipe, weights, settings)
            save(tensors, target / file.name, record)
        config = json.loads((target / "config.json").read_text(encoding="utf-8"))
        save_json(config | {"dtype": settings.dtype}, target / "config.json")
        save_json(record, target / "provenance.json")


def merged_weights(
    file: Path, recipe: Recipe, weights: StepWeights, settings: ExportSettings
) -> dict[str, torch.Tensor]:
    """The variant's weights of the tensors in one file of the base."""
    dtype, tensors = getattr(torch, settings.dtype), {}
    for name in index([file]):
        weight = substituted_weight(
            name, recipe, weights, settings.others, settings.seed
        )
        weight = read(weights.base, name) if weight is None else weight
        tensors[name] = weight.to(dtype).contiguous()
    return tensors


WRITERS = {"adapter": write_adapter, "model": write_merged}
