"""Artefacts: adapters and merged models give the logits of the variant in memory."""

import json

import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer

import export_variant
from rankone import names
from rankone.artefacts import origin
from rankone.errors import UserError
from rankone.variants import grammar
from rankone.variants.in_place import open_step_weights, substituted
from rankone.variants.settings import ExportSettings
from rankone.weights.base_model import load_model
from rankone.weights.checkpoints import weights_hash
from rankone.weights.model_files import weight_files
from saved import save_step
from tiny import make_model

SETTINGS = {
    "dtype": "float32",
    "model": {"hub": "org/model", "revision": "0" * 40},
    "others": "base",
    "seed": 3,
}
LOW_RANK = [
    *("rank1", "rank40pct", "random_rank2", "direction17", "0.5x_rank6_rescaled"),
    "2x_direction2_in_q_proj+down_proj_in_layer1",
]


@pytest.fixture(scope="module")
def step(tmp_path_factory):
    """Paths of a base folder, a trained checkpoint, and the factors of its updates."""
    return save_step(tmp_path_factory.mktemp("step"))


def logits(model):
    with torch.no_grad():
        return model(torch.arange(3, 40)[None]).logits.float()


def variant_logits(name, step, others="base", dtype=torch.float32):
    """What the variant answers when it is substituted in memory."""
    model, recipe = load_model(step[0], dtype), grammar.parse(name)
    files = open_step_weights(weight_files(step[0]), *step[1:])
    with substituted(model, recipe, files, others, SETTINGS["seed"]):
        return logits(model)


def write(artefact, folder, name, step, **settings):
    base, checkpoint, factors = step
    export_variant.main(
        run="tiny",
        step=4,
        variant=name,
        model_folder=base,
        checkpoint=checkpoint,
        factors=factors,
        artefact=artefact,
        settings=ExportSettings(**SETTINGS | settings),
        folder=folder,
    )
    return folder


@pytest.mark.parametrize("name", LOW_RANK)
def test_peft_loads_and_merges_an_adapter_to_the_variants_logits(step, tmp_path, name):
    folder = write("adapter", tmp_path / name, name, step)
    expected = variant_logits(name, step)
    assert not torch.allclose(logits(make_model(0)), expected, atol=1e-3)
    model = PeftModel.from_pretrained(make_model(0), folder)
    torch.testing.assert_close(logits(model), expected, atol=1e-5, rtol=1e-4)
    merged = model.merge_and_unload()
    torch.testing.assert_close(logits(merged), expected, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("name", LOW_RANK)
def test_an_adapter_has_the_tensors_that_peft_itself_would_save(step, tmp_path, name):
    folder = write("adapter", tmp_path / name, name, step)
    own = load_file(folder / "adapter_model.safetensors")
    PeftModel.from_pretrained(make_model(0), folder).save_pretrained(
        tmp_path / "peft", save_embedding_layers=False
    )
    saved = load_file(tmp_path / "peft" / "adapter_model.safetensors")
    assert own.keys() == saved.keys()
    assert all(torch.equal(own[key], saved[key]) for key in own)


def test_an_adapter_has_what_vllm_needs(step, tmp_path):
    folder = write("adapter", tmp_path / "rank40pct", "rank40pct", step)
    config = json.loads((folder / "adapter_config.json").read_text())
    assert config["r"] == config["lora_alpha"] == 13
    assert not config["use_rslora"] and not config["use_dora"]
    assert config["bias"] == "none" and not config["modules_to_save"]
    assert not config["rank_pattern"] and not config["alpha_pattern"]
    assert config["target_modules"] == sorted(names.MODULES)
    assert config["base_model_name_or_path"] == "org/model"
    for name, tensor in load_file(folder / "adapter_model.safetensors").items():
        assert name.startswith("base_model.model.model.layers.")
        assert tensor.shape["lora_B" in name] == 13
        assert tensor.dtype == torch.float32


def test_the_same_adapter_is_written_twice(step, tmp_path):
    folders = [write("adapter", tmp_path / n, "random_rank1", step) for n in "ab"]
    for name in ("adapter_config.json", "provenance.json"):
        first, second = ((folder / name).read_bytes() for folder in folders)
        assert first == second
    first, second = (load_file(f / "adapter_model.safetensors") for f in folders)
    assert all(torch.equal(first[key], second[key]) for key in first)


@pytest.mark.parametrize("others", ["base", "trained"])
@pytest.mark.parametrize(
    "name", ["full", "rank1", "bulk_matched", "0.5x_without_rank1_in_layer0"]
)
def test_a_merged_model_gives_the_variants_logits(step, tmp_path, name, others):
    folder = write("model", tmp_path / name, name, step, others=others)
    model = AutoModelForCausalLM.from_pretrained(folder)
    expected = variant_logits(name, step, others)
    torch.testing.assert_close(logits(model), expected, atol=1e-6, rtol=1e-5)
    tokenizers = [AutoTokenizer.from_pretrained(path) for path in (folder, step[0])]
    assert tokenizers[0].get_vocab() == tokenizers[1].get_vocab()


def test_a_merged_model_is_loaded_in_the_dtype_in_which_it_was_written(step, tmp_path):
    folder = write("model", tmp_path / "m", "rank1", step, dtype="bfloat16")
    model = AutoModelForCausalLM.from_pretrained(folder)
    assert model.dtype == torch.bfloat16
    expected = variant_logits("rank1", step, dtype=torch.bfloat16)
    assert torch.equal(logits(model), expected)


def test_a_base_in_several_files_is_merged_file_by_file(step, tmp_path):
    sharded = tmp_path / "sharded"
    make_model(0).save_pretrained(sharded, max_shard_size="40KB")
    assert len(weight_files(sharded)) > 1
    step = [str(sharded), *step[1:]]
    folder = write("model", tmp_path / "m", "rank1", step)
    names = [[path.name for path in weight_files(place)] for place in (sharded, folder)]
    assert names[0] == names[1]
    model = AutoModelForCausalLM.from_pretrained(folder)
    torch.testing.assert_close(logits(model), variant_logits("rank1", step))


@pytest.mark.parametrize("artefact", ["adapter", "model"])
def test_an_artefact_says_where_it_comes_from(step, tmp_path, artefact):
    folder = write(artefact, tmp_path / "artefact", "rank1", step)
    record = json.loads((folder / "provenance.json").read_text())
    assert record["base"] == weights_hash(step[0])
    expected = {"run": "tiny", "step": 4, "recipe": "rank1", "seed": 3}
    assert expected.items() <= record.items()
    assert {"commit", "others", "torch", "transformers", "peft"} <= record.keys()
    (weights,) = weight_files(folder)
    header = {key: str(value) for key, value in record.items()}
    assert origin(weights) == header | {"format": "pt"}


@pytest.mark.parametrize(
    ("artefact", "name", "settings", "sentence"),
    [
        ("adapter", "shrunk", {}, "no known low rank"),
        ("adapter", "rank1", {"others": "trained"}, "others: trained"),
        ("adapter", "rank1_in_layer2", {}, "names layer 2"),
        ("model", "rank1_in_layer2", {}, "names layer 2"),
        ("model", "rank", {}, "is unknown"),
    ],
)
def test_what_cannot_be_written_leaves_nothing(
    step, tmp_path, artefact, name, settings, sentence
):
    with pytest.raises(UserError, match=sentence):
        write(artefact, tmp_path / "artefacts" / name, name, step, **settings)
    assert not list(tmp_path.rglob(name))
