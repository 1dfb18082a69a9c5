"""Checkpoints, models and adapters on disk, and requests to a model."""

import torch
from lm_eval.api.instance import Instance
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file, save_file

from rankone.linalg import svd
from rankone.weights import updates
from rankone.weights.checkpoints import export, own_weights
from rankone.weights.factors import save_factors
from rankone.weights.model_files import weight_files
from tiny import make_model, make_tokenizer, save_model


def save_step(folder):
    """A base folder, a trained checkpoint, the factors of its updates; three paths."""
    save_model(folder / "base", seed=0)
    before, after = own_weights(make_model(0)), own_weights(make_model(1))
    export(make_model(1), folder / "step.safetensors", {})
    kept = {
        name: svd.exact(after[name] - before[name], 4)
        for name in filter(updates.locate, before)
    }
    save_factors(folder / "factors.safetensors", kept, {})
    return [
        str(folder / name)
        for name in ("base", "step.safetensors", "factors.safetensors")
    ]


def save_trained(folder, seed=1, dtype=torch.float32, **options):
    """A model of the same shapes as the base with other weights, and its tokenizer."""
    make_model(seed).to(dtype).save_pretrained(folder, **options)
    make_tokenizer().save_pretrained(folder)
    return folder


def save_adapter(folder, base="base", **options):
    """A LoRA adapter with random factors, as PEFT saves it."""
    defaults = {"r": 3, "lora_alpha": 5, "target_modules": ["q_proj", "down_proj"]}
    model = get_peft_model(make_model(0), LoraConfig(**defaults | options))
    torch.manual_seed(7)
    for name, weight in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weight, std=0.1)
    model.peft_config["default"].base_model_name_or_path = base
    model.save_pretrained(folder)
    return model


def rewrite(folder, change):
    """Change the tensors of a folder's only weight file."""
    (file,) = weight_files(folder)
    tensors = {name: tensor.clone() for name, tensor in load_file(file).items()}
    save_file(change(tensors), file, {"format": "pt"})


def requests(pairs):
    return [Instance("loglikelihood", {}, pair, i) for i, pair in enumerate(pairs)]
