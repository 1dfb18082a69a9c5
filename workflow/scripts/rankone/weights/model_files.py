"""Model folders as their headers and JSON files tell, without torch or safetensors."""

import json
import struct
from pathlib import Path

from rankone.errors import UserError


def read_json(path: Path) -> dict:
    """A JSON file; UserError naming it when it is damaged, {} when it is not there."""
    try:
        return json.loads(path.read_text("utf-8")) if path.is_file() else {}
    except ValueError as error:
        raise UserError(f"{path} is not readable JSON: {error}") from error


def safetensors_header(file: Path) -> dict[str, dict]:
    """Dtype and shape of every tensor in a safetensors file.

    UserError naming a file that is not a whole safetensors file.
    """
    try:
        with open(file, "rb") as opened:
            (size,) = struct.unpack("<Q", opened.read(8))
            found = json.loads(opened.read(size))
        found.pop("__metadata__", None)
        end = max(entry["data_offsets"][1] for entry in found.values())
        whole = file.stat().st_size == 8 + size + end
    except (OSError, ValueError, KeyError, OverflowError, MemoryError, struct.error):
        whole = False
    if not whole:
        raise UserError(
            f"{file} is not a whole safetensors file: missing, cut off or damaged."
        )
    return found


def weight_files(folder: str | Path) -> list[Path]:
    """The safetensors files of a model or adapter: one, or the shards of its index.

    Other files beside them, such as a consolidated copy, do not count. UserError when
    there are none, or pickled ones instead.
    """
    folder = Path(folder)
    if (folder / "adapter_config.json").is_file():
        name = "adapter_model.safetensors"
    else:
        name = "model.safetensors"
        if shards := read_json(folder / f"{name}.index.json").get("weight_map"):
            return [folder / shard for shard in sorted(set(shards.values()))]
    if (folder / name).is_file():
        return [folder / name]
    pickled = sorted(f.name for p in ("*.bin", "*.pt", "*.pth") for f in folder.glob(p))
    hint = f"; pickled weights ({pickled[0]}) are never loaded" if pickled else ""
    raise UserError(
        f"{folder} has no {name}{hint}. Save it with `save_pretrained(folder)`."
    )


def check_model_folder(folder: str | Path) -> Path:
    """A local Hugging Face model folder with safetensors weights and a tokenizer.

    Raises UserError naming what is missing.
    """
    folder = Path(folder)
    if not (folder / "config.json").is_file():
        raise UserError(f"model.path: {folder} has no config.json: not a model folder.")
    if not list(folder.glob("*.safetensors")):
        raise UserError(
            f"model.path: {folder} has no *.safetensors weights; save the model with "
            "`save_pretrained(folder)` (pickled weights are never loaded)."
        )
    if not list(folder.glob("tokenizer*")):
        raise UserError(f"model.path: {folder} has no tokenizer files.")
    return folder
