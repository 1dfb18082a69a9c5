"""Imported checkpoints: converted exactly, or refused with one sentence."""

import json
import shutil
import weakref

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

import import_checkpoint
from rankone.artefacts import metadata
from rankone.errors import UserError
from rankone.files import sha256
from rankone.weights import import_checkpoint as conversion
from rankone.weights import import_plan, updates
from rankone.weights.checkpoints import check_match, index, own_weights
from rankone.weights.model_files import weight_files
from rankone.weights.settings import Model
from saved import rewrite, save_adapter, save_trained
from tiny import make_model, make_tokenizer, save_model


@pytest.fixture
def base(tmp_path):
    return save_model(tmp_path / "base", seed=0)


def imported(base, folder):
    """The tensors of the checkpoint that a folder becomes."""
    model = Model(path=str(base))
    output = folder.parent / "step.safetensors"
    import_checkpoint.main("r-seed0", 4, "given", str(folder), str(base), model, output)
    check_match(index(weight_files(base)), index([output]), output)
    return load_file(output)


def refused(base, folder, sentence):
    with pytest.raises(UserError, match=sentence):
        imported(base, folder)
    assert not (folder.parent / "step.safetensors").exists()


def edit(file, **changes):
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16", "float64"])
@pytest.mark.parametrize("shard", ["20KB", "1GB"])
def test_whole_weights_are_kept_to_the_bit(base, tmp_path, dtype, shard):
    dtype = getattr(torch, dtype)
    folder = save_trained(tmp_path / "given", dtype=dtype, max_shard_size=shard)
    assert (len(weight_files(folder)) > 1) == (shard == "20KB")
    found = imported(base, folder)
    expected = own_weights(make_model(1).to(dtype))
    assert found.keys() == expected.keys()
    for name, tensor in found.items():
        assert tensor.dtype == torch.float32
        assert torch.equal(tensor, expected[name].float())


def test_the_header_says_where_it_comes_from(base, tmp_path):
    folder = save_trained(tmp_path / "given")
    (folder / import_plan.RECORD).write_text(json.dumps({"commit": "c0ffee"}))
    imported(base, folder)
    found = metadata(tmp_path / "step.safetensors")
    assert found["run"] == "r-seed0" and found["step"] == "4"
    assert found["source"] == "given" and found["commit"] == "c0ffee"


def test_what_the_user_gave_is_left_as_it_was(base, tmp_path):
    folder = save_trained(tmp_path / "given")
    before = {file.name: sha256(file) for file in folder.iterdir()}
    imported(base, folder)
    assert {file.name: sha256(file) for file in folder.iterdir()} == before


@pytest.mark.parametrize(
    "rename",
    [
        lambda name: name.removeprefix("model."),
        lambda name: f"module.{name}",
        lambda name: f"_orig_mod.{name}",
        lambda name: f"base_model.model.{name}",
    ],
)
def test_names_may_have_another_prefix(base, tmp_path, rename):
    folder = save_trained(tmp_path / "given")
    rewrite(folder, lambda tensors: {rename(n): t for n, t in tensors.items()})
    assert imported(base, folder).keys() == own_weights(make_model(1)).keys()


def head(tensors, factor=1.0):
    return tensors | {
        "lm_head.weight": factor * tensors["model.embed_tokens.weight"].clone()
    }


def test_a_head_that_is_saved_though_tied_is_dropped(base, tmp_path):
    folder = save_trained(tmp_path / "given")
    rewrite(folder, head)
    assert "lm_head.weight" not in imported(base, folder)


def test_a_head_of_its_own_is_another_architecture(base, tmp_path):
    folder = save_trained(tmp_path / "given")
    rewrite(folder, lambda tensors: head(tensors, 2.0))
    refused(base, folder, "its head is not the embedding")


def test_a_base_may_be_saved_with_its_tied_head(base, tmp_path):
    rewrite(base, head)
    found = import_plan.fit(
        save_trained(tmp_path / "given"), base, Model(path=str(base))
    )
    assert "lm_head.weight" not in found.names


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (
            lambda t: {n: v for n, v in t.items() if "norm" not in n},
            "norm.weight is mi",
        ),
        (lambda t: t | {"v_head.weight": torch.ones(2)}, "v_head.weight is not in the"),
        (
            lambda t: t | {"model.norm.weight": torch.ones(31)},
            r"model.norm.weight has shape \[31\], the base \[32\]",
        ),
        (
            lambda t: t | {"norm.weight": torch.ones(32)},
            "norm.weight and .*norm.weight are both model.norm.weight",
        ),
        (
            lambda t: t | {"model.norm.weight": torch.ones(32, dtype=torch.int8)},
            "model.norm.weight in .* is I8; expected one of F64",
        ),
        (
            lambda t: t | {"model.norm.weight": torch.full((32,), torch.nan)},
            "holds NaN or Inf",
        ),
    ],
)
def test_other_weights_are_refused(base, tmp_path, change, sentence):
    folder = save_trained(tmp_path / "given")
    rewrite(folder, change)
    refused(base, folder, sentence)


def test_the_base_itself_is_refused(base, tmp_path):
    folder = save_trained(tmp_path / "given", seed=0)
    refused(base, folder, "holds the base itself: nothing was trained")


def test_another_number_of_heads_is_refused(base, tmp_path):
    folder = save_trained(tmp_path / "given")
    edit(folder / "config.json", num_attention_heads=8)
    refused(base, folder, "num_attention_heads is 8 in its config.json, 4 in the model")


def test_pickled_weights_are_refused_by_name(base, tmp_path):
    folder = save_trained(tmp_path / "given")
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    refused(base, folder, r"pickled weights \(pytorch_model.bin\) are never loaded")


def test_a_missing_shard_is_named(base, tmp_path):
    folder = save_trained(tmp_path / "given", max_shard_size="20KB")
    lost = weight_files(folder)[1]
    lost.unlink()
    refused(base, folder, f"{lost.name} is not a whole safetensors file")


def test_a_cut_off_file_is_named(base, tmp_path):
    folder = save_trained(tmp_path / "given")
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-9])
    refused(base, folder, "model.safetensors is not a whole safetensors file")


def test_another_tokenizer_is_refused_and_more_tokens_are_not(base, tmp_path):
    folder = save_trained(tmp_path / "given")
    tokenizer = make_tokenizer()
    tokenizer.add_tokens(["<more>"])
    tokenizer.save_pretrained(folder)
    imported(base, folder)
    (tmp_path / "step.safetensors").unlink()
    text = (folder / "tokenizer.json").read_text()
    swapped = text.replace('"a": ', '"A": ')
    assert swapped != text
    (folder / "tokenizer.json").write_text(swapped)
    refused(base, folder, "another tokenizer .*1 tokens .* first 'a'")


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"use_rslora": True},
        {"rank_pattern": {"layers.0.self_attn.q_proj": 2}},
        {"alpha_pattern": {"down_proj": 11}},
    ],
    ids=["plain", "rslora", "rank_pattern", "alpha_pattern"],
)
def test_an_adapter_becomes_the_update_that_peft_merges(base, tmp_path, options):
    model = save_adapter(tmp_path / "given", **options)
    merged = own_weights(model.merge_and_unload())
    imported(base, tmp_path / "given")
    before = index(weight_files(base))
    after = index([tmp_path / "step.safetensors"])
    for name in filter(updates.locate, before):
        whole = updates.read_trained(before, after, name)
        assert torch.allclose(whole, merged[name], atol=1e-6)
    factors, values = updates.decompose(
        before, after, "model.layers.1.mlp.down_proj.weight", 8
    )
    assert len(factors.sigma) <= 8 and (values[3:] == 0).all()


def test_an_adapter_written_by_rankone_can_be_imported(base, tmp_path):
    import export_variant
    from rankone.variants.settings import ExportSettings
    from saved import save_step

    (tmp_path / "made").mkdir()
    step = save_step(tmp_path / "made")
    model = {"path": str(base)}
    settings = {"dtype": "float32", "model": model, "others": "base", "seed": 0}
    base_folder, checkpoint, factors = step
    export_variant.main(
        run="r",
        step=4,
        variant="rank1",
        model_folder=base_folder,
        checkpoint=checkpoint,
        factors=factors,
        artefact="adapter",
        settings=ExportSettings(**settings),
        folder=tmp_path / "given",
    )
    found = imported(base, tmp_path / "given")
    name = "model.layers.0.self_attn.q_proj.weight"
    assert found[f"{name}:lora_B"].shape == (32, 1)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"use_dora": True}, "use_dora = True in adapter_config.json is more than"),
        ({"bias": "all"}, "bias = 'all'"),
        ({"modules_to_save": ["lm_head"]}, "modules_to_save = "),
        ({"peft_type": "IA3"}, "peft_type = 'IA3'"),
        ({"init_lora_weights": "pissa"}, "init_lora_weights = 'pissa'"),
        ({"base_model_name_or_path": "org/other"}, "is an adapter of org/other, but"),
    ],
)
def test_an_adapter_that_is_no_plain_lora_of_the_base_is_refused(
    base, tmp_path, changes, sentence
):
    save_adapter(tmp_path / "given")
    edit(tmp_path / "given" / "adapter_config.json", **changes)
    refused(base, tmp_path / "given", sentence)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (
            lambda n, t: (n.replace("q_proj", "x_proj"), t),
            "x_proj.weight is not in the",
        ),
        (lambda n, t: (n.replace("lora_A", "lora_E"), t), "is no plain LoRA factor"),
        (lambda n, t: (n, t[:, :-1] if "lora_A" in n else t), "has shape .*the base's"),
        (lambda n, t: (n, t[:-1] if "lora_A" in n else t), "do not fit each other"),
        (lambda n, t: (n, t * 0), "holds the base itself"),
    ],
)
def test_factors_that_do_not_fit_are_refused(base, tmp_path, change, sentence):
    save_adapter(tmp_path / "given")
    rewrite(
        tmp_path / "given",
        lambda tensors: dict(
            (name, tensor.contiguous())
            for name, tensor in (change(*item) for item in tensors.items())
        ),
    )
    refused(base, tmp_path / "given", sentence)


def test_one_tensor_is_in_memory_at_a_time(base, tmp_path, monkeypatch):
    folder, seen = save_trained(tmp_path / "given"), []
    read = conversion.read

    def watched(handles, name):
        if "given" in str(handles[name]):
            assert not any(tensor() is not None for tensor in seen)
        found = read(handles, name)
        seen.append(weakref.ref(found))
        return found

    monkeypatch.setattr(conversion, "read", watched)
    imported(base, folder)
    assert len(seen) > 10


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("org/model@step_10", ("org/model", "step_10")),
        ("org/model-1.5B@" + "0" * 40, ("org/model-1.5B", "0" * 40)),
        ("org/model@refs/pr/1", ("org/model", "refs/pr/1")),
        ("/models/run@2/step", None),
        ("./org/model@2", None),
        ("org/model", None),
    ],
)
def test_a_hub_source_has_an_owner_a_name_and_a_revision(source, expected):
    assert import_plan.hub_revision(source) == expected


def test_a_download_without_a_network_says_what_to_do(tmp_path):
    import download_checkpoint

    target = tmp_path / "folder"
    with pytest.raises(UserError, match=r"Cannot look up org/model at b.*local folder"):
        download_checkpoint.main("org/model@b", str(tmp_path / "state"), str(target))
    assert not target.exists()


def test_a_base_on_a_hub_may_have_an_adapter_with_a_local_name(base, tmp_path):
    save_adapter(tmp_path / "given", base="/models/Model-1B")
    hub = Model(hub="org/model-1b", revision="main")
    assert import_plan.fit(tmp_path / "given", None, hub).adapter
    shutil.rmtree(tmp_path / "given")
    save_adapter(tmp_path / "given", base="")
    assert import_plan.fit(tmp_path / "given", None, hub).adapter


def test_merged_weights_load_in_transformers(base, tmp_path):
    """The written file is one that the safetensors library and transformers read."""
    imported(base, save_trained(tmp_path / "given"))
    shutil.copy(tmp_path / "step.safetensors", base / "model.safetensors")
    loaded = AutoModelForCausalLM.from_pretrained(base)
    expected = own_weights(make_model(1))
    assert all(torch.equal(t, expected[n]) for n, t in own_weights(loaded).items())
