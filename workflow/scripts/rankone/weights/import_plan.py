"""Imported checkpoints: where they are, and whether they fit the base.

Headers and JSON files alone are read, and neither torch nor safetensors is needed, so
that a study is refused before any job. The conversion is in conversion.py.
"""

import json
import re
from dataclasses import dataclass
from functools import cache
from math import prod
from pathlib import Path

from rankone.errors import UserError
from rankone.weights.model_files import read_json, safetensors_header, weight_files
from rankone.weights.settings import Model

HUB = re.compile(r"(\w[\w.-]*/[\w.-]+)@([\w./-]+)")
DTYPES = ("F64", "F32", "F16", "BF16")
FLOAT32_BYTES = 4
# What training frameworks put before a parameter's name.
WRAPPERS = ("module.", "_orig_mod.", "base_model.model.")
RECORD = "rankone-source.json"  # what a download is, beside its files
HEAD, EMBEDDING = "lm_head.weight", "embed_tokens.weight"
# Old Llama checkpoints hold this constant, which is no parameter.
BUFFER = re.compile(r"\.rotary_emb\.inv_freq$")
FACTOR = re.compile(r"(.+)\.lora_([AB])(?:\.default)?\.weight")
# Keys of config.json that change the function but no shape.
ARCHITECTURE = (
    *("model_type", "num_attention_heads", "num_key_value_heads", "hidden_act"),
    *("rms_norm_eps", "rope_theta"),
)
# Parts of an update that are not a product of two factors, or not of the seven maps.
NOT_LOW_RANK = {
    *("bias", "modules_to_save", "use_dora", "lora_bias", "trainable_token_indices"),
    *("layer_replication", "target_parameters"),
}
# Other starting points change the base's own weights.
PLAIN_STARTS = (None, True, False, "gaussian", "eva", "orthogonal")
Shapes = dict[str, list[int]]


@dataclass(frozen=True)
class ImportPlan:
    """What a checkpoint takes from an imported folder.

    `names` gives the tensor of `files` for every tensor of the checkpoint, `shapes` its
    shape. `tied` are a saved head and the embedding that it must equal. `adapter` is
    the config of a LoRA adapter, None for whole weights.
    """

    files: list[Path]
    names: dict[str, str]
    shapes: Shapes
    tied: tuple[str, str] | None = None
    adapter: dict | None = None


def hub_revision(source: str) -> tuple[str, str] | None:
    """Repository and revision of `owner/name@revision`; None for a local folder."""
    match = HUB.fullmatch(source)
    return (match[1], match[2]) if match else None


def shapes(files: list[Path]) -> Shapes:
    """Shape of every tensor; UserError for one that is not of a plain float dtype."""
    found = {}
    for file in files:
        for name, entry in safetensors_header(file).items():
            if entry["dtype"] not in DTYPES:
                raise UserError(
                    f"{name} in {file} is {entry['dtype']}; expected one of "
                    f"{', '.join(DTYPES)} (quantised weights are not imported)."
                )
            found[name] = entry["shape"]
    return {name: shape for name, shape in found.items() if not BUFFER.search(name)}


def base_shapes(folder: Path) -> Shapes:
    """Shapes of the base's parameters, without a head that is saved though tied."""
    found = shapes(weight_files(folder))
    if read_json(folder / "config.json").get("tie_word_embeddings"):
        found.pop(HEAD, None)
    return found


def own_name(name: str, base: Shapes) -> str:
    """The base's name of a tensor: without wrappers, with or without `model.`."""
    for wrapper in WRAPPERS:
        name = name.removeprefix(wrapper)
    candidates = (name, f"model.{name}", name.removeprefix("model."))
    return next((found for found in candidates if found in base), name)


def whole_plan(folder: Path, base: Shapes | None) -> ImportPlan:
    """The plan of a folder with whole weights; without a base, names stay."""
    files = weight_files(folder)
    found = shapes(files)
    if base is None:
        return ImportPlan(files, {name: name for name in found}, found)
    names, tied = {}, None
    for source in found:
        name = own_name(source, base)
        if name in names:
            raise UserError(f"{folder}: {source} and {names[name]} are both {name}.")
        names[name] = source
    embedding = next((name for name in base if name.endswith(EMBEDDING)), None)
    if HEAD in names and HEAD not in base and embedding in names:
        tied = names.pop(HEAD), names[embedding]
    own = {name: found[source] for name, source in names.items()}
    require_same(folder, base, own)
    return ImportPlan(files, names, own, tied)


def require_same(folder: Path, base: Shapes, found: Shapes) -> None:
    """UserError with the first tensors that are missing, extra or of another shape."""
    problems = [f"{name} is missing" for name in base.keys() - found.keys()]
    problems += [f"{name} is not in the base" for name in found.keys() - base.keys()]
    problems += [
        f"{name} has shape {found[name]}, the base {base[name]}"
        for name in base.keys() & found.keys()
        if base[name] != found[name]
    ]
    if problems:
        more = f" and {len(problems) - 3} more" if len(problems) > 3 else ""
        raise UserError(
            f"{folder} has another architecture than the study's model: "
            f"{'; '.join(sorted(problems)[:3])}{more}."
        )


def check_architecture(folder: Path, base: Path) -> None:
    """UserError when config.json names another function of the same shapes."""
    ours, theirs = read_json(base / "config.json"), read_json(folder / "config.json")
    for key in ARCHITECTURE:
        first, second = setting(ours, key), setting(theirs, key)
        if None not in (first, second) and first != second:
            raise UserError(
                f"{folder} has another architecture than the study's model: {key} is "
                f"{second} in its config.json, {first} in the model's."
            )


def setting(config: dict, key: str) -> object:
    """A key of config.json, where newer and older versions of transformers put it."""
    return config.get(key, (config.get("rope_parameters") or {}).get(key))


def adapter_plan(folder: Path, base: Shapes | None) -> ImportPlan:
    """The plan of a LoRA adapter's folder."""
    config, files = read_json(folder / "adapter_config.json"), weight_files(folder)
    found = shapes(files)
    names = {}
    for source in found:
        if not (match := FACTOR.fullmatch(source)):
            raise UserError(f"{folder}: {source} is no plain LoRA factor.")
        weight = own_name(f"{match[1]}.weight", base or {})
        names[f"{weight}:lora_{match[2]}"] = source
    own = {name: found[source] for name, source in names.items()}
    for weight in sorted({name.rsplit(":", 1)[0] for name in own}):
        if base is not None and weight not in base:
            raise UserError(f"{folder}: {weight} is not in the study's model.")
        check_factors(folder, weight, own, (base or {}).get(weight))
    return ImportPlan(files, names, own, adapter=config)


def check_factors(
    folder: Path, weight: str, found: Shapes, expected: list[int] | None
) -> None:
    """UserError unless both factors are there and their product fits.

    `expected` is None where the base is not known.
    """
    right, left = (found.get(f"{weight}:lora_{side}") for side in "AB")
    if not right or not left or len(right + left) != 4 or right[0] != left[1]:
        raise UserError(
            f"{folder}: the LoRA factors of {weight} do not fit each other: A {right}, "
            f"B {left}."
        )
    if expected not in (None, [left[0], right[1]]):
        raise UserError(
            f"{folder}: the LoRA update of {weight} has shape {[left[0], right[1]]}, "
            f"the base's weight {expected}."
        )


def check_adapter(folder: Path, config: dict, model: Model) -> None:
    """UserError for an adapter that is not plain LoRA, or of another base."""
    parts = [k for k in NOT_LOW_RANK | {"fan_in_fan_out"} if config.get(k)]
    parts = [key for key in parts if config[key] != "none"]
    if config.get("peft_type") != "LORA":
        parts.append("peft_type")
    if config.get("init_lora_weights") not in PLAIN_STARTS:
        parts.append("init_lora_weights")
    if parts:
        raise UserError(
            f"{folder}: {parts[0]} = {config.get(parts[0])!r} in adapter_config.json "
            "is more than plain LoRA factors; merge the adapter into a whole model."
        )
    base = config.get("base_model_name_or_path")
    if base and Path(base).name.lower() != Path(model.origin).name.lower():
        raise UserError(
            f"{folder} is an adapter of {base}, but the study's model is "
            f"{model.origin}. If they are the same, say so in a copy of "
            "adapter_config.json."
        )


@cache
def vocabulary(text: bytes) -> dict[str, int]:
    """Token ids of a tokenizer.json."""
    tokenizer = json.loads(text)
    found = tokenizer["model"]["vocab"]
    if isinstance(found, list):
        found = {piece: i for i, (piece, _) in enumerate(found)}
    return found | {t["content"]: t["id"] for t in tokenizer["added_tokens"]}


def check_tokenizer(folder: Path, base: Path) -> None:
    """UserError when a token of the base has another id here; more tokens may be here.

    A folder without tokenizer.json, such as an adapter's, is read with the base's.
    """
    paths = [where / "tokenizer.json" for where in (base, folder)]
    if not all(path.is_file() for path in paths):
        return
    ours, theirs = (path.read_bytes() for path in paths)
    if ours == theirs:
        return
    found = vocabulary(theirs)
    wrong = [token for token, i in vocabulary(ours).items() if found.get(token) != i]
    if wrong:
        raise UserError(
            f"{folder} has another tokenizer than the study's model: {len(wrong)} "
            f"tokens are missing or have other ids, first {wrong[0]!r}."
        )


def plan(folder: Path, base: Shapes | None = None) -> ImportPlan:
    """How a folder becomes a checkpoint; UserError with what is wrong with it.

    `base` has the shapes of the base, None where they are not known.
    """
    if not folder.is_dir():
        raise UserError(f"{folder} is not a folder.")
    if (folder / "adapter_config.json").is_file():
        return adapter_plan(folder, base)
    if not (folder / "config.json").is_file():
        raise UserError(f"{folder} has no config.json: not a model folder.")
    return whole_plan(folder, base)


def fit(folder: Path, base: Path | None, model: Model) -> ImportPlan:
    """The plan of a folder that fits the base; UserError with why it does not.

    `base` is the folder of the base `model`, None where it is not there yet.
    """
    found = plan(folder, None if base is None else base_shapes(base))
    if found.adapter:
        check_adapter(folder, found.adapter, model)
    elif base is not None:
        check_architecture(folder, base)
    if base is not None:
        check_tokenizer(folder, base)
    return found


def float32_bytes(plan: ImportPlan) -> int:
    """Bytes of the checkpoint that a plan makes."""
    return FLOAT32_BYTES * sum(map(prod, plan.shapes.values()))
