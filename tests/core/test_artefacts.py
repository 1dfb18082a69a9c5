"""Identity and checksum of what is written: in metadata, in manifests beside text."""

import json

import pandas as pd
import pyarrow.parquet as pq
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from rankone import artefacts
from rankone.errors import UserError
from rankone.files import sha256
from rankone.tables_io import read_table, write_table

MADE_FROM = {"rule": "decompose", "settings": {"rank": 4}, "inputs": {"model": ["ab"]}}


def save(path, tensors, metadata=None):
    with artefacts.sealing(path, metadata or {}) as (temporary, header):
        save_file(tensors, temporary, header)


def checksums(folder):
    return [artefacts.tensors_checksum(folder / f"{n}.safetensors") for n in "xy"]


@pytest.fixture
def tensors():
    return {"b": torch.arange(6.0).reshape(2, 3), "a": torch.ones(2)}


def test_a_safetensors_file_has_identity_and_checksum_in_its_header(tmp_path, tensors):
    path = tmp_path / "x.safetensors"
    with artefacts.making(MADE_FROM):
        save(path, tensors, {"step": 4})
    found = artefacts.metadata(path)
    assert json.loads(found["identity"]) == MADE_FROM and found["step"] == "4"
    assert found["checksum"] == artefacts.tensors_checksum(path)
    assert all(torch.equal(tensors[name], t) for name, t in load_file(path).items())


def test_an_identity_that_is_given_stands(tmp_path, tensors):
    path = tmp_path / "x.safetensors"
    with artefacts.making(MADE_FROM):
        save(path, tensors, {"identity": "of the run"})
    assert artefacts.metadata(path)["identity"] == "of the run"


def test_metadata_and_order_do_not_change_a_checksum(tmp_path, tensors):
    save(tmp_path / "x.safetensors", tensors, {"step": 4})
    save_file(dict(reversed(tensors.items())), tmp_path / "y.safetensors")
    first, second = (
        artefacts.tensors_checksum(tmp_path / f"{n}.safetensors") for n in "xy"
    )
    assert first == second


@pytest.mark.parametrize("change", ["value", "name", "shape", "dtype"])
def test_every_change_of_a_payload_changes_its_checksum(tmp_path, tensors, change):
    save_file(tensors, tmp_path / "x.safetensors")
    weight = tensors.pop("b")
    weight = weight + 1 if change == "value" else weight
    weight = weight.T.contiguous() if change == "shape" else weight
    weight = weight.double() if change == "dtype" else weight
    tensors["c" if change == "name" else "b"] = weight
    save_file(tensors, tmp_path / "y.safetensors")
    first, second = (
        artefacts.tensors_checksum(tmp_path / f"{n}.safetensors") for n in "xy"
    )
    assert first != second


@given(st.integers(0, 10**6))
def test_a_flipped_bit_is_found(tmp_path_factory, place):
    path = tmp_path_factory.mktemp("bits") / "x.safetensors"
    save(path, {"w": torch.arange(64.0)})
    artefacts.check(path)
    data = bytearray(path.read_bytes())
    data[len(data) - 1 - place % 256] ^= 1 << place % 8
    path.write_bytes(data)
    with pytest.raises(UserError, match="is not what was written"):
        artefacts.check(path)


def test_a_table_has_identity_and_checksum_in_its_metadata(tmp_path):
    table = pd.DataFrame({"run": ["a", "b"], "score": [0.5, 1.0]})
    path = tmp_path / "t.parquet"
    with artefacts.making(MADE_FROM):
        write_table(table, path)
    found = artefacts.metadata(path)
    assert json.loads(found["identity"]) == MADE_FROM
    assert found["checksum"] == artefacts.payload_checksum(path)
    pd.testing.assert_frame_equal(read_table(path), table)
    other = pq.read_table(path).set_column(1, "score", [[0.5, 0.9]])
    assert artefacts.table_checksum(other) != found["checksum"]


def test_text_stays_plain_and_a_manifest_beside_it_has_both(tmp_path):
    path = tmp_path / "t.tsv"
    write_table(pd.DataFrame({"a": [1]}), path)
    plain = path.read_bytes()
    with artefacts.making(MADE_FROM):
        artefacts.write_manifests("analyze", [path])
    assert path.read_bytes() == plain
    entry = artefacts.manifest_entry(path)
    assert entry["identity"] == MADE_FROM
    artefacts.check(path)
    path.write_text("a\n2\n")
    with pytest.raises(UserError, match="Delete it and run the same command again"):
        artefacts.check(path)


def test_a_folder_is_recorded_inside_and_known_by_that(tmp_path):
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    before = artefacts.input_checksum(folder)
    artefacts.write_manifests("prepare_model", [folder])
    recorded = artefacts.input_checksum(folder)
    (folder / "config.json").write_text('{"a": 1}')
    artefacts.write_manifests("prepare_model", [folder])
    assert len({before, recorded, artefacts.input_checksum(folder)}) == 3


def test_what_a_job_makes_is_known_by_its_settings_and_the_content_of_its_inputs(
    tmp_path,
):
    table = pd.DataFrame({"a": [1.0]})
    for name, made_from in (("x", None), ("y", MADE_FROM)):
        with artefacts.making(made_from):
            write_table(table, tmp_path / f"{name}.parquet")
    first, second = (
        artefacts.job_identity("r", {"k": 1}, {"items": [tmp_path / f"{n}.parquet"]})
        for n in "xy"
    )
    assert first == second and str(tmp_path) not in json.dumps(first)
    assert first != artefacts.job_identity(
        "r", {"k": 2}, {"items": [tmp_path / "x.parquet"]}
    )


@pytest.mark.parametrize("name", ["x.safetensors", "x.parquet"])
@pytest.mark.parametrize("content", [b"", b"cut off", b"\xff" * 64])
def test_a_damaged_input_is_left_to_what_reads_it(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    assert artefacts.input_checksum(tmp_path / name) == sha256(tmp_path / name)
