"""Decomposition: planted factors come back, and the statistics mean what they say."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import safe_open

from rankone import updates


def planted(sigma, rows=24, columns=16, seed=0):
    """A matrix with the given singular values, and its singular vectors."""
    generator = torch.Generator().manual_seed(seed)
    left, right = (
        torch.linalg.qr(torch.randn(n, len(sigma), generator=generator))[0]
        for n in (rows, columns)
    )
    return left * torch.tensor(sigma) @ right.T, left, right


def test_planted_triplets_are_recovered():
    matrix, left, right = planted([3.0, 2.0, 0.5])
    factors, _ = updates.decompose(matrix, 2)
    assert torch.allclose(factors.sigma, torch.tensor([3.0, 2.0]), atol=1e-5)
    assert (factors.left[:, 0] @ left[:, 0]).abs() > 1 - 1e-5
    assert (factors.right[1] @ right[:, 1]).abs() > 1 - 1e-5


shapes = st.tuples(st.integers(1, 12), st.integers(1, 12), st.integers(0, 99))


@given(shapes)
@settings(max_examples=50, deadline=None)
def test_energy_adds_up_and_no_rank_one_matrix_is_closer(case):
    rows, columns, seed = case
    matrix = torch.randn(rows, columns, generator=torch.Generator().manual_seed(seed))
    factors, sigma = updates.decompose(matrix, 1)
    energy = (sigma.double() ** 2).sum().item()
    assert energy == pytest.approx(factors.norm**2, rel=1e-5)
    rest = (matrix - factors.part(1)).norm().item() ** 2
    assert rest == pytest.approx(energy - sigma[0].item() ** 2, rel=1e-3, abs=1e-4)


@given(shapes)
@settings(max_examples=50, deadline=None)
def test_signs_do_not_depend_on_the_sign_of_the_update(case):
    rows, columns, seed = case
    matrix = torch.randn(rows, columns, generator=torch.Generator().manual_seed(seed))
    factors, _ = updates.decompose(matrix, 1)
    negative, _ = updates.decompose(-matrix, 1)
    assert torch.allclose(factors.left, negative.left, atol=1e-4)
    assert torch.allclose(factors.right, -negative.right, atol=1e-4)


def test_statistics_of_known_singular_values():
    matrix, _, _ = planted([2.0, 1.0, 1.0])
    _, _, row = updates.describe(matrix, base_norm=1.0, rank=3)
    assert row["norm_share"] == pytest.approx(2 / math.sqrt(6), rel=1e-5)
    assert row["energy_share"] == pytest.approx(4 / 6, rel=1e-5)
    assert row["stable_rank"] == pytest.approx(1.5, rel=1e-5)
    shares = np.array([4, 1, 1]) / 6
    expected = np.exp(-(shares * np.log(shares)).sum())
    assert row["effective_rank"] == pytest.approx(expected, rel=1e-5)
    assert row["relative_gap"] == pytest.approx(0.5, rel=1e-4)
    assert row["identifiable"]
    assert row["residual"] < 1e-5


def test_equal_leading_singular_values_are_not_identifiable():
    matrix, _, _ = planted([1.0, 1.0, 0.5])
    assert not updates.describe(matrix, 1.0, 2)[2]["identifiable"]


def test_a_zero_update_has_no_direction_and_no_rank():
    factors, sigma, row = updates.describe(torch.zeros(5, 4), 1.0, 2)
    assert factors.norm == 0 and not sigma.any()
    assert not row["identifiable"]
    assert math.isnan(row["norm_share"]) and math.isnan(row["stable_rank"])


@pytest.mark.parametrize(
    ("name", "place"),
    [
        ("model.layers.3.self_attn.q_proj.weight", (3, "q_proj")),
        ("model.layers.12.mlp.down_proj.weight", (12, "down_proj")),
        ("model.layers.3.self_attn.q_proj.bias", None),
        ("model.layers.3.input_layernorm.weight", None),
        ("model.embed_tokens.weight", None),
        ("lm_head.weight", None),
    ],
)
def test_only_the_seven_linear_maps_are_substituted(name, place):
    assert updates.locate(name) == place


def test_factors_survive_a_round_trip(tmp_path):
    from rankone.factors import load_factors, save_factors

    factors, _ = updates.decompose(planted([2.0, 1.0])[0], 2)
    save_factors(tmp_path / "f.safetensors", {"w": factors}, {"step": 4})
    with safe_open(tmp_path / "f.safetensors", "pt") as handle:
        loaded = load_factors({key: handle for key in handle.keys()}, "w")  # noqa: SIM118
        assert handle.metadata()["step"] == "4"
    assert torch.equal(loaded.part(2), factors.part(2))
    assert loaded.norm == factors.norm
