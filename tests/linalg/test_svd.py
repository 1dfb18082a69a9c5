"""The engine: planted triplets, certificates that hold, and bounds that are kept."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rankone.linalg import svd

MATRIX = st.tuples(st.integers(1, 40), st.integers(1, 40), st.integers(0, 10**6))


def gaussian(rows, columns, seed=0):
    return torch.randn(
        rows,
        columns,
        generator=torch.Generator().manual_seed(seed),
        dtype=torch.float64,
    )


def planted(sigma, rows, columns, seed=0):
    """A float32 matrix with these singular values, and its singular vectors."""
    left, right = (
        torch.linalg.qr(gaussian(n, len(sigma), seed + i))[0]
        for i, n in enumerate((rows, columns))
    )
    values = torch.as_tensor(sigma, dtype=torch.float64)
    return (left * values @ right.T).float(), left, right


def truth(matrix):
    return torch.linalg.svd(matrix.double(), full_matrices=False)


def cosine(first, second):
    return torch.dot(first.double(), second.double()).abs().item()


def check(matrix, factors):
    """Values, directions and residuals of factors against float64 truth."""
    left, sigma, right = truth(matrix)
    scale = sigma[0].item() or 1.0
    wanted = sigma[: len(factors.sigma)]
    assert (factors.sigma - wanted).abs().max() <= 1e-5 * scale
    assert factors.norm == pytest.approx(matrix.double().norm().item(), rel=1e-6)
    for i in torch.nonzero(factors.identifiable)[:, 0]:
        assert cosine(factors.left[:, i], left[:, i]) >= 1 - 1e-6
        assert cosine(factors.right[i], right[i]) >= 1 - 1e-6


def gap(sigma, i):
    values = [math.inf, *sigma.tolist(), 0.0]
    return min(values[i] - values[i + 1], values[i + 1] - values[i + 2]) / values[i + 1]


@given(MATRIX, st.integers(1, 6))
@settings(max_examples=60, deadline=None)
def test_factors_of_any_shape_are_those_of_the_exact_svd(case, rank):
    matrix = gaussian(*case).float()
    factors = svd.leading(matrix, rank)
    assert len(factors.sigma) == min(rank, *matrix.shape)
    check(matrix, factors)


@pytest.mark.parametrize("shape", [(300, 200), (200, 300), (256, 256)])
@pytest.mark.parametrize("rank", [1])
def test_a_spike_in_noise_is_found_by_the_krylov_route(shape, rank, monkeypatch):
    monkeypatch.setattr(svd, "eigenbasis", None)
    spike, _, _ = planted([60.0], *shape)
    matrix = gaussian(*shape, seed=5).float() + spike
    factors = svd.leading(matrix, rank)
    check(matrix, factors)
    assert factors.identifiable[0]


@pytest.mark.parametrize("ratio", [1.001, 1.01, 1.015, 1.03, 1.05, 1.2, 5.0])
@pytest.mark.parametrize("shape", [(160, 90), (90, 160)])
def test_a_direction_is_identifiable_exactly_where_its_gap_is(ratio, shape):
    noise = gaussian(*shape, seed=3)
    left, sigma, right = torch.linalg.svd(noise, full_matrices=False)
    sigma[0] = ratio * sigma[1]
    matrix = (left * sigma @ right).float()
    factors = svd.leading(matrix, 2)
    assert factors.identifiable[0] == (ratio >= 1 / (1 - svd.MINIMUM_GAP))
    check(matrix, factors)


@given(MATRIX, st.integers(1, 5))
@settings(max_examples=40, deadline=None)
def test_a_gap_is_never_overstated(case, rank):
    matrix = gaussian(*case).float()
    _, sigma, _ = truth(matrix)
    for i, bound in enumerate(svd.leading(matrix, rank).gap.tolist()):
        assert bound <= gap(sigma, i) + 1e-4


@given(MATRIX, st.integers(1, 5))
@settings(max_examples=40, deadline=None)
def test_residuals_are_those_of_the_matrix(case, rank):
    matrix = gaussian(*case).float()
    factors = svd.leading(matrix, rank)
    image = matrix @ factors.right.T - factors.left * factors.sigma
    back = matrix.T @ factors.left - factors.right.T * factors.sigma
    worst = torch.maximum(image.norm(dim=0), back.norm(dim=0)) / factors.sigma
    assert (worst <= factors.residual + 1e-5).all()
    floor = svd.RESOLUTION * factors.sigma[0] / factors.sigma
    assert (factors.residual <= torch.clamp(floor, min=svd.TOLERANCE)).all()


@given(MATRIX)
@settings(max_examples=40, deadline=None)
def test_no_matrix_of_that_rank_is_closer(case):
    matrix, rank = gaussian(*case).float(), 2
    factors = svd.exact(matrix, rank)
    rest = (matrix - factors.part(rank)).double().norm().item() ** 2
    _, sigma, _ = truth(matrix)
    assert rest == pytest.approx(sigma[rank:].square().sum().item(), rel=1e-4, abs=1e-6)


@given(MATRIX)
@settings(max_examples=40, deadline=None)
def test_transposition_and_sign_change_nothing_but_sides_and_signs(case):
    matrix = gaussian(*case).float()
    factors, turned = svd.leading(matrix, 1), svd.leading(matrix.T.contiguous(), 1)
    torch.testing.assert_close(factors.sigma, turned.sigma)
    negative = svd.leading(-matrix, 1)
    assert torch.equal(factors.left, negative.left)
    assert torch.equal(factors.right, -negative.right)
    if factors.identifiable[0]:
        assert cosine(factors.left[:, 0], turned.right[0]) >= 1 - 1e-6


def test_the_largest_entry_of_every_left_vector_is_positive():
    factors = svd.leading(gaussian(300, 200).float(), 8)
    largest = factors.left.abs().argmax(0)
    assert (factors.left[largest, torch.arange(8)] > 0).all()


def test_the_same_input_gives_the_same_bytes():
    matrix = gaussian(300, 200).float() + planted([80.0], 300, 200)[0]
    first, second = svd.leading(matrix, 4), svd.leading(matrix.clone(), 4)
    for name in ("left", "sigma", "right", "residual", "gap"):
        assert torch.equal(getattr(first, name), getattr(second, name))


def test_another_seed_and_more_threads_agree_to_the_tolerance():
    matrix = gaussian(300, 200).float() + planted([80.0], 300, 200)[0]
    threads = torch.get_num_threads()
    first = svd.leading(matrix, 1)
    torch.set_num_threads(2)
    second = svd.leading(matrix, 1, seed=7)
    torch.set_num_threads(threads)
    assert cosine(first.left[:, 0], second.left[:, 0]) >= 1 - 1e-6
    assert first.sigma.item() == pytest.approx(second.sigma.item(), rel=1e-5)


@pytest.mark.parametrize("shape", [(120, 100), (100, 120)])
def test_an_exactly_low_rank_update_has_no_more_directions(shape):
    matrix, left, _ = planted([3.0, 2.0], *shape)
    factors = svd.leading(matrix, 5)
    assert factors.identifiable.tolist() == [True, True, False, False, False]
    assert (factors.sigma[2:] < 1e-5).all()
    assert cosine(factors.left[:, 1], left[:, 1]) >= 1 - 1e-6


def test_a_small_singular_value_beside_a_large_one_is_accurate():
    matrix, left, _ = planted([1.0, 1e-3, 3e-4], 400, 300)
    factors = svd.leading(matrix, 3)
    expected = torch.tensor([1.0, 1e-3, 3e-4])
    torch.testing.assert_close(factors.sigma, expected, rtol=1e-3, atol=0)
    assert cosine(factors.left[:, 1], left[:, 1]) >= 1 - 1e-6


def test_repeated_singular_values_are_all_found_and_not_identifiable():
    matrix, _, _ = planted([1.0] * 6 + [0.3] * 10, 150, 140)
    factors = svd.leading(matrix, 8)
    expected = torch.tensor([1.0] * 6 + [0.3] * 2)
    torch.testing.assert_close(factors.sigma, expected, rtol=1e-4, atol=0)
    assert not factors.identifiable.any()


def test_a_zero_update_has_no_direction():
    factors = svd.leading(torch.zeros(5, 4), 2)
    assert factors.norm == 0 and not factors.sigma.any()
    assert not factors.identifiable.any()
    assert svd.singular_values(torch.zeros(5, 4))[0].tolist() == [0.0] * 4


def test_one_entry_is_its_own_triplet():
    matrix = torch.zeros(200, 150)
    matrix[17, 42] = -0.5
    factors = svd.leading(matrix, 2)
    assert factors.sigma[0].item() == pytest.approx(0.5)
    assert factors.left[17, 0] == pytest.approx(1) and factors.right[
        0, 42
    ] == pytest.approx(-1)
    assert factors.identifiable.tolist() == [True, False]


@pytest.mark.parametrize("scale", [1e-42, 1e-30, 1e30, 1e36])
def test_denormal_and_huge_entries_neither_vanish_nor_overflow(scale):
    matrix, left, _ = planted([1.0, 0.5], 60, 50)
    matrix = (matrix.double() * scale * 10).float()
    factors, (values, _) = svd.leading(matrix, 1), svd.singular_values(matrix)
    expected = truth(matrix)[1]
    assert factors.sigma.item() == pytest.approx(expected[0].item(), rel=1e-3)
    assert (values - expected).abs().max() <= 1e-5 * expected[0]
    assert cosine(factors.left[:, 0], left[:, 0]) > 0.99


@given(MATRIX)
@settings(max_examples=60, deadline=None)
def test_all_singular_values_keep_their_bound(case):
    matrix = gaussian(*case).float()
    values, bound = svd.singular_values(matrix)
    expected = torch.linalg.svdvals(matrix.double())
    assert bound <= svd.VALUES_TOLERANCE
    assert (values - expected).abs().max() <= bound * expected[0]
    assert values.square().sum().sqrt().item() == pytest.approx(
        matrix.double().norm().item(), rel=1e-9
    )


def test_a_bound_beyond_the_tolerance_falls_back_to_the_svd(monkeypatch):
    monkeypatch.setattr(svd, "VALUES_TOLERANCE", 1e-12)
    matrix, _, _ = planted([1.0, 1e-7], 30, 20)
    values, bound = svd.singular_values(matrix)
    expected = torch.linalg.svdvals(matrix.double())
    assert (values - expected).abs().max() <= max(bound, 1e-15) * 10


@given(st.integers(1, 30), st.integers(1, 30), st.integers(1, 6), st.integers(0, 99))
@settings(max_examples=40, deadline=None)
def test_lora_factors_decompose_as_their_product(rows, columns, inner, seed):
    left, right = (
        gaussian(rows, inner, seed).float(),
        gaussian(inner, columns, seed + 1),
    )
    factors = svd.low_rank(left, right.float(), 2)
    check(left @ right.float(), factors)
    assert len(factors.sigma) == min(2, rows, columns, inner)


def test_noise_gives_no_false_certificate():
    """Where the gap of pure noise is small, sigma_1 is right all the same."""
    for seed in range(20):
        matrix = gaussian(80, 60, seed).float()
        check(matrix, svd.leading(matrix, 1, seed=seed))


def test_singular_values_of_a_heavy_tail_are_accurate():
    sigma = np.arange(1, 101.0) ** -1.5
    values, bound = svd.singular_values(planted(sigma, 150, 100)[0])
    assert np.abs(values.numpy() - sigma).max() <= bound + 1e-6
