"""Variants: what each recipe puts for the update, and the base restored exactly."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

from rankone import names
from rankone.errors import UserError
from rankone.linalg import random_matrices, svd
from rankone.variants import apply, grammar
from rankone.variants.in_place import covered, open_step_weights, substituted
from rankone.weights import updates
from rankone.weights.checkpoints import own_weights
from rankone.weights.factors import save_factors
from rankone.weights.model_files import weight_files
from saved import save_step
from tiny import make_model, save_model

GENERATOR = torch.Generator().manual_seed(0)
UPDATE = torch.randn(12, 8, generator=GENERATOR)
FACTORS = svd.exact(UPDATE, 4)


def change(name, seed=0, tensor="w", update=UPDATE, factors=FACTORS):
    recipe = grammar.parse(name)
    return apply.change(recipe, apply.MatrixUpdate(factors, update.clone, seed, tensor))


def sigma(matrix):
    return torch.linalg.svdvals(matrix)


def cosine(first, second):
    return ((first * second).sum() / first.norm() / second.norm()).item()


def test_full_is_the_update():
    assert torch.equal(change("full"), UPDATE)


@pytest.mark.parametrize("name", ["rank2", "rank6", "rank25pct", "rank70pct"])
def test_rank_k_keeps_the_leading_singular_values(name):
    rank = grammar.parse(name).triplets(8)
    assert torch.allclose(sigma(change(name))[:rank], sigma(UPDATE)[:rank], atol=1e-5)
    assert sigma(change(name))[rank] < 1e-5


@pytest.mark.parametrize("rank", ["1", "6", "25pct", "100pct"])
def test_rank_k_and_its_rest_add_up(rank):
    both = change(f"rank{rank}") + change(f"without_rank{rank}")
    assert torch.allclose(both, UPDATE, atol=1e-5)


def test_triplets_beyond_the_stored_ones_are_those_of_the_update():
    whole = svd.exact(UPDATE, 8)
    for name in ("rank7", "direction6", "without_rank5"):
        assert torch.allclose(change(name), change(name, factors=whole), atol=1e-5)


@pytest.mark.parametrize(
    "name", ["rank1_rescaled", "rank3_rescaled", "random_rank2_rescaled", "direction3"]
)
def test_rescaled_has_the_norm_of_the_update(name):
    assert change(name).norm() == pytest.approx(UPDATE.norm().item(), rel=1e-5)


def test_a_direction_is_one_triplet_alone():
    triplet = FACTORS.left[:, 2:3] * FACTORS.sigma[2] @ FACTORS.right[2:3]
    assert cosine(change("direction3"), triplet) == pytest.approx(1, abs=1e-5)


def test_the_first_direction_is_the_rescaled_rank_1_part():
    assert torch.equal(change("direction1"), change("rank1_rescaled"))


def test_a_direction_that_a_matrix_does_not_have_is_nothing():
    assert not change("direction9").any()


def test_a_direction_of_mere_rounding_is_not_blown_up():
    left, right = torch.randn(12, 2), torch.randn(2, 8)
    update = left @ right
    factors = svd.exact(update, 4)
    assert change("direction2", update=update, factors=factors).any()
    assert not change("direction3", update=update, factors=factors).any()


@given(
    st.sampled_from(["full", "shrunk", "rank2", "direction2", "without_rank1"]),
    st.sampled_from([0.25, 0.5, 1, 3]),
)
@settings(max_examples=20, deadline=None)
def test_lambda_multiplies_the_change(kind, scale):
    scaled = change(f"{scale}x_{kind}")
    assert torch.allclose(scaled, scale * change(kind), atol=1e-5)


def test_shrunk_has_the_direction_of_the_update_and_the_norm_of_rank1():
    shrunk = change("shrunk")
    assert shrunk.norm() == pytest.approx(change("rank1").norm().item(), rel=1e-5)
    assert cosine(shrunk, UPDATE) == pytest.approx(1, abs=1e-5)


def test_random_rank1_matches_the_norm_and_the_rank():
    assert torch.allclose(sigma(change("random_rank1"))[:1], FACTORS.sigma[:1])
    assert sigma(change("random_rank1"))[1] < 1e-5


@given(st.integers(1, 12), st.integers(1, 12), st.integers(0, 99))
@settings(max_examples=50, deadline=None)
def test_bulk_matched_keeps_every_singular_value(rows, columns, seed):
    generator = torch.Generator().manual_seed(seed)
    update = torch.randn(rows, columns, generator=generator)
    matched = random_matrices.bulk_matched(update, generator)
    assert torch.allclose(sigma(matched), sigma(update), atol=1e-5)


def test_bulk_matched_turns_the_directions_on_both_sides():
    matched = svd.exact(change("bulk_matched"), 1)
    assert abs(cosine(matched.left[:, 0], FACTORS.left[:, 0])) < 0.9
    assert abs(cosine(matched.right[0], FACTORS.right[0])) < 0.9


@given(st.integers(1, 9), st.integers(0, 9))
@settings(max_examples=30, deadline=None)
def test_haar_vectors_are_orthonormal(columns, more):
    vectors = random_matrices.haar(columns + more, columns, GENERATOR)
    assert torch.allclose(vectors.T @ vectors, torch.eye(columns), atol=1e-5)


@pytest.mark.parametrize("shape", [(1, 1), (3, 2), (3, 3)])
def test_haar_vectors_are_as_often_positive_as_negative(shape):
    generator = torch.Generator().manual_seed(0)
    draws = torch.stack([random_matrices.haar(*shape, generator) for _ in range(1000)])
    # Five standard deviations of a mean of 1000 draws, each of variance 1 / rows.
    assert draws.mean(0).abs().max() < 5 * (1000 * shape[0]) ** -0.5
    assert (draws.square().mean(0) - 1 / shape[0]).abs().max() < 0.07


@pytest.mark.parametrize("name", ["random_rank1", "bulk_matched"])
def test_random_variants_depend_on_seed_and_tensor_only(name):
    assert torch.equal(change(name), change(name))
    assert not torch.equal(change(name), change(name, seed=1))
    assert not torch.equal(change(name), change(name, tensor="v"))


@pytest.mark.parametrize(
    "name",
    [
        *("rank1", "rank1_rescaled", "rank50pct", "random_rank1_rescaled", "shrunk"),
        *("without_rank3", "direction1", "direction3", "bulk_matched", "2x_full"),
    ],
)
def test_a_zero_update_stays_zero(name):
    zero = torch.zeros(4, 3)
    assert not change(name, update=zero, factors=svd.exact(zero, 1)).any()


@pytest.fixture
def step(tmp_path):
    """The weights of a step."""
    base, checkpoint, factors = save_step(tmp_path)
    return open_step_weights(weight_files(base), checkpoint, factors)


def weights_within(name, step, others="base", dtype=torch.float32):
    model = make_model(0).to(dtype)
    with substituted(model, grammar.parse(name), step, others, seed=0):
        inside = {k: v.clone() for k, v in own_weights(model).items()}
    return inside, own_weights(model)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("name", ["full", "rank1", "shrunk", "2x_random_rank1"])
def test_the_base_is_restored_bit_for_bit(step, name, dtype):
    inside, after = weights_within(name, step, dtype=dtype)
    base = own_weights(make_model(0).to(dtype))
    assert all(torch.equal(after[key], base[key]) for key in base)
    assert any(not torch.equal(inside[key], base[key]) for key in base)


def test_full_is_the_trained_checkpoint(step):
    inside, _ = weights_within("full", step)
    trained = own_weights(make_model(1))
    assert all(torch.equal(inside[key], trained[key]) for key in trained)


def test_a_multiple_of_full_leaves_the_other_tensors_to_the_policy(step):
    base, trained = own_weights(make_model(0)), own_weights(make_model(1))
    inside, _ = weights_within("1x_full", step)
    for name in base:
        expected = trained if updates.locate(name) else base
        assert torch.allclose(inside[name], expected[name], atol=1e-6)


@pytest.mark.parametrize("others", ["base", "trained"])
def test_other_tensors_follow_the_policy(step, others):
    inside, _ = weights_within("rank1", step, others)
    expected = own_weights(make_model(0 if others == "base" else 1))
    name = "model.embed_tokens.weight"
    assert torch.equal(inside[name], expected[name])


def test_outside_its_places_a_variant_is_the_base(step):
    variant = "rank1_in_q_proj+up_proj_in_layer1"
    inside, after = weights_within(variant, step)
    changed = sorted(n for n in inside if not torch.equal(inside[n], after[n]))
    assert changed == covered(grammar.parse(variant), step.base)
    assert [updates.locate(name) for name in changed] == [(1, "up_proj"), (1, "q_proj")]


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("rank1_in_layers1-2", "names layer 2, but the model's last layer is 1"),
        ("direction33", "needs 33 singular directions, .* have at most 32"),
        ("rank17_in_k_proj", "needs 17 singular directions, .* have at most 16"),
    ],
)
def test_what_a_model_does_not_have_is_refused(step, name, sentence):
    with pytest.raises(UserError, match=sentence):
        covered(grammar.parse(name), step.base)


def test_a_lora_run_has_the_same_variants(tmp_path):
    base = own_weights(make_model(0))
    name = "model.layers.1.mlp.up_proj.weight"
    left, right = torch.randn(48, 2), torch.randn(2, 32)
    save_model(tmp_path / "base", seed=0)
    parts = {f"{name}:lora_B": left, f"{name}:lora_A": right}
    save_file(parts, tmp_path / "step.safetensors")
    kept = {
        key: svd.leading(torch.zeros(base[key].shape), 2)
        for key in filter(updates.locate, base)
    }
    kept[name] = svd.low_rank(left, right, 4)
    save_factors(tmp_path / "factors.safetensors", kept, {})
    paths = [str(tmp_path / f"{file}.safetensors") for file in ("step", "factors")]
    step = open_step_weights(weight_files(tmp_path / "base"), *paths)
    for variant in ("full", "1x_full", "rank2", "rank9", "rank1_rescaled"):
        inside, after = weights_within(variant, step)
        moved = inside[name] - after[name]
        assert moved.norm() == pytest.approx((left @ right).norm().item(), rel=1e-4)
        if variant != "rank1_rescaled":
            torch.testing.assert_close(moved, left @ right, atol=1e-4, rtol=1e-4)
        assert all(torch.equal(inside[k], after[k]) for k in inside if k != name)
    assert not (weights_within("direction3", step)[0][name] - base[name]).any()


def test_the_base_is_restored_after_an_error(step):
    model = make_model(0)
    with pytest.raises(RuntimeError, match="stop"):
        with substituted(model, grammar.parse("full"), step, "base", 0):
            raise RuntimeError("stop")
    base = own_weights(make_model(0))
    assert all(torch.equal(own_weights(model)[key], base[key]) for key in base)


def test_the_grammar_names_the_matrices_that_are_substituted():
    assert names.MODULES == names.MODULES
