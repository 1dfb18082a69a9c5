"""Weights on disk: whole files, matching tensors, finite values."""

import pytest
import torch
from safetensors.torch import save_file

from rankone.artefacts import origin
from rankone.errors import UserError
from rankone.files import replacing
from rankone.weights.checkpoints import check_match, export, index, own_weights, read
from rankone.weights.model_files import weight_files
from tiny import make_model, save_model


def save(path, **tensors):
    save_file(tensors, path)
    return path


def test_an_export_holds_every_own_weight_in_float32(tmp_path):
    model = make_model().to(torch.bfloat16)
    export(model, tmp_path / "w.safetensors", {"step": 3})
    handles = index([tmp_path / "w.safetensors"])
    assert handles.keys() == own_weights(model).keys()
    assert all(read(handles, name).dtype == torch.float32 for name in handles)
    assert origin(tmp_path / "w.safetensors") == {"step": "3"}


def test_an_export_matches_the_saved_base_even_with_tied_weights(tmp_path):
    export(make_model(), tmp_path / "w.safetensors", {})
    folder = save_model(tmp_path / "model")
    base = index(weight_files(folder))
    own = index([tmp_path / "w.safetensors"])
    check_match(base, own, "w")
    assert all(torch.equal(read(base, name), read(own, name)) for name in base)


@pytest.mark.parametrize("damage", [b"", b"not safetensors", None])
def test_a_damaged_file_is_named(tmp_path, damage):
    path = save(tmp_path / "w.safetensors", a=torch.ones(100))
    path.write_bytes(path.read_bytes()[:-7] if damage is None else damage)
    with pytest.raises(UserError, match="w.safetensors is not a readable"):
        index([path])


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_tensor_that_is_not_finite_is_named(tmp_path, value):
    path = save(tmp_path / "w.safetensors", broken=torch.tensor([1.0, value]))
    handles = index([path])
    with pytest.raises(UserError, match="Tensor broken"):
        read(handles, "broken")


def test_differences_between_base_and_checkpoint_are_listed(tmp_path):
    one, two = torch.ones(2, 2), torch.ones(3, 2)
    first = save(tmp_path / "a.safetensors", same=one, gone=one.clone(), grown=one + 1)
    second = save(tmp_path / "b.safetensors", same=one, new=one.clone(), grown=two)
    expected = r"gone is missing; grown has shape \[3, 2\].*; new is not in the base"
    base = index([first])
    trained = index([second])
    with pytest.raises(UserError, match=expected):
        check_match(base, trained, second)


def test_a_file_appears_whole_or_not_at_all(tmp_path):
    path = tmp_path / "out.txt"
    path.write_text("old")
    with pytest.raises(RuntimeError):
        with replacing(path) as temporary:
            temporary.write_text("half")
            raise RuntimeError
    assert path.read_text() == "old"
    assert [file.name for file in tmp_path.iterdir()] == ["out.txt"]


def test_a_lora_checkpoint_fits_the_weights_that_it_changes(tmp_path):
    base = save(tmp_path / "a.safetensors", w=torch.ones(4, 3), other=torch.ones(2))
    factors = {"w:lora_B": torch.ones(4, 2), "w:lora_A": torch.ones(2, 3)}
    good = save(tmp_path / "b.safetensors", **factors)
    factors["w:lora_A"] = torch.ones(2, 5)
    bad = save(tmp_path / "c.safetensors", **factors)
    before = index([base])
    fits = index([good])
    wrong = index([bad])
    check_match(before, fits, good)
    with pytest.raises(UserError, match=r"w has shape \[4, 5\], the base \[4, 3\]"):
        check_match(before, wrong, bad)


def test_shards_are_read_as_one_checkpoint(tmp_path):
    files = [
        save(tmp_path / f"{name}.safetensors", **{name: torch.full((2,), value)})
        for name, value in (("a", 1.0), ("b", 2.0))
    ]
    handles = index(files)
    assert [read(handles, name)[0].item() for name in "ab"] == [1.0, 2.0]
