"""Variants: what each recipe puts for the update, and the base restored exactly."""

import pytest
import torch

from rankone import recipes, updates, variants
from rankone.checkpoints import export, own_weights
from rankone.errors import UserError
from rankone.factors import save_factors
from rankone.models import weight_files
from rankone.substitution import sources, substituted
from tiny import make_model, save_model

GENERATOR = torch.Generator().manual_seed(0)
UPDATE = torch.randn(12, 8, generator=GENERATOR)
FACTORS, _ = updates.decompose(UPDATE, 4)


def change(name, seed=0, tensor="w"):
    recipe = recipes.parse(name, stored_rank=4)
    return variants.change(recipe, FACTORS, lambda: UPDATE.clone(), seed, tensor)


def sigma(matrix):
    return torch.linalg.svdvals(matrix)


def test_full_is_the_update():
    assert torch.equal(change("full"), UPDATE)


def test_rank_k_keeps_the_leading_singular_values():
    assert torch.allclose(sigma(change("rank2"))[:2], FACTORS.sigma[:2], atol=1e-5)
    assert sigma(change("rank2"))[2] < 1e-5


def test_rank_k_and_its_rest_add_up():
    assert torch.allclose(change("rank1") + change("without_rank1"), UPDATE, atol=1e-6)


@pytest.mark.parametrize("name", ["rank1_rescaled", "rank3_rescaled"])
def test_rescaled_has_the_norm_of_the_update(name):
    assert change(name).norm() == pytest.approx(UPDATE.norm().item(), rel=1e-5)


def test_shrunk_has_the_direction_of_the_update_and_the_norm_of_rank1():
    shrunk = change("shrunk")
    assert shrunk.norm() == pytest.approx(change("rank1").norm().item(), rel=1e-5)
    cosine = (shrunk * UPDATE).sum() / shrunk.norm() / UPDATE.norm()
    assert cosine == pytest.approx(1, abs=1e-5)


def test_random_rank1_matches_the_norm_and_the_rank():
    assert torch.allclose(sigma(change("random_rank1"))[:1], FACTORS.sigma[:1])
    assert sigma(change("random_rank1"))[1] < 1e-5


def test_random_rank1_depends_on_seed_and_tensor_only():
    assert torch.equal(change("random_rank1"), change("random_rank1"))
    assert not torch.equal(change("random_rank1"), change("random_rank1", seed=1))
    assert not torch.equal(change("random_rank1"), change("random_rank1", tensor="v"))


@pytest.mark.parametrize("name", ["rank1", "rank1_rescaled", "shrunk", "random_rank1"])
def test_a_zero_update_stays_zero(name):
    zero = torch.zeros(4, 3)
    factors, _ = updates.decompose(zero, 1)
    recipe = recipes.parse(name, 1)
    assert not variants.change(recipe, factors, lambda: zero, 0, "w").any()


@pytest.mark.parametrize("name", ["rank0", "rank", "Rank1", "shrunk_rescaled", "half"])
def test_an_unknown_variant_is_refused(name):
    with pytest.raises(UserError, match="is unknown; expected e.g. full"):
        recipes.parse(name, 16)


def test_a_rank_beyond_the_stored_factors_is_refused():
    with pytest.raises(UserError, match="needs 5 singular triplets, but .* keeps 4"):
        recipes.parse("rank5", 4)


@pytest.fixture
def files(tmp_path):
    """A base folder, a trained checkpoint, and the factors of its updates."""
    save_model(tmp_path / "base", seed=0)
    base, trained = make_model(0), make_model(1)
    export(trained, tmp_path / "step.safetensors", {})
    before, after = own_weights(base), own_weights(trained)
    kept = {
        name: updates.decompose(after[name] - before[name], 4)[0]
        for name in filter(updates.locate, before)
    }
    save_factors(tmp_path / "factors.safetensors", kept, {})
    paths = (tmp_path / "step.safetensors", tmp_path / "factors.safetensors")
    with sources(weight_files(tmp_path / "base"), *map(str, paths)) as opened:
        yield opened


def weights_within(name, files, others="base", dtype=torch.float32):
    model = make_model(0).to(dtype)
    with substituted(model, recipes.parse(name, 4), files, others, seed=0):
        inside = {k: v.clone() for k, v in own_weights(model).items()}
    return inside, own_weights(model)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("name", ["full", "rank1", "shrunk", "random_rank1"])
def test_the_base_is_restored_bit_for_bit(files, name, dtype):
    inside, after = weights_within(name, files, dtype=dtype)
    base = own_weights(make_model(0).to(dtype))
    assert all(torch.equal(after[key], base[key]) for key in base)
    assert any(not torch.equal(inside[key], base[key]) for key in base)


def test_full_is_the_trained_checkpoint(files):
    inside, _ = weights_within("full", files)
    trained = own_weights(make_model(1))
    assert all(torch.equal(inside[key], trained[key]) for key in trained)


@pytest.mark.parametrize("others", ["base", "trained"])
def test_other_tensors_follow_the_policy(files, others):
    inside, _ = weights_within("rank1", files, others)
    expected = own_weights(make_model(0 if others == "base" else 1))
    name = "model.embed_tokens.weight"
    assert torch.equal(inside[name], expected[name])


def test_the_base_is_restored_after_an_error(files):
    model = make_model(0)
    with pytest.raises(RuntimeError, match="stop"):
        with substituted(model, recipes.parse("full", 4), files, "base", 0):
            raise RuntimeError("stop")
    base = own_weights(make_model(0))
    assert all(torch.equal(own_weights(model)[key], base[key]) for key in base)
