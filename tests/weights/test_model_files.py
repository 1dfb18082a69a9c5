"""The weights of a model folder are counted once, whatever lies beside them."""

import shutil

import pytest

from rankone.errors import UserError
from rankone.study.estimates import parameters
from rankone.weights.checkpoints import index, weights_hash
from rankone.weights.model_files import weight_files
from rankone.weights.settings import Model
from tiny import make_model


@pytest.fixture
def sharded(tmp_path):
    """A model in several files, and the number of its weights."""
    model = make_model(0)
    model.save_pretrained(tmp_path, max_shard_size="40KB")
    return tmp_path, sum(weight.numel() for weight in model.parameters())


def test_shards_are_those_of_the_index(sharded):
    folder, total = sharded
    assert len(weight_files(folder)) > 1
    assert weight_files(folder) == sorted(folder.glob("*.safetensors"))
    assert parameters(Model(path=str(folder))) == total


def test_a_consolidated_copy_beside_the_shards_does_not_count(sharded):
    folder, total = sharded
    files, made_of = weight_files(folder), weights_hash(folder)
    shutil.copyfile(files[0], folder / "consolidated.safetensors")
    assert weight_files(str(folder)) == files
    assert weights_hash(folder) == made_of
    assert set(index(weight_files(folder)).values()) == set(files)
    assert parameters(Model(path=str(folder))) == total


def test_pickled_weights_are_refused(tmp_path):
    (tmp_path / "pytorch_model.bin").touch()
    with pytest.raises(UserError, match="pytorch_model.bin"):
        weight_files(tmp_path)
