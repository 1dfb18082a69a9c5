"""Simulated weights have the effect that is planted in them, and nothing else."""

import pytest
import torch

from rankone.claims.simulated import effects, weights
from rankone.claims.simulated.weights import WeightScenario
from rankone.claims.spectrum_preserved import turned


def test_simulated_weights_have_the_effect_and_nothing_else():
    name = weights.names()[0]
    base, (first, second) = weights.make_matrix(WeightScenario(), name, seed=0)
    assert base.norm() == pytest.approx(1, rel=1e-5)
    assert (first - base).norm() == pytest.approx(weights.SIZE, rel=1e-3)
    assert not torch.equal(first, second)
    plan = WeightScenario(effect=effects.spike, strength=0.9)
    _, (end, _) = weights.make_matrix(plan, name, seed=0)
    sigma = torch.linalg.svdvals(end - base)
    assert sigma[0] / sigma.norm() == pytest.approx(0.9, abs=0.1)


def test_rounded_weights_are_bfloat16_numbers():
    plan = WeightScenario(rounded=True)
    base, ends = weights.make_matrix(plan, weights.names()[0], seed=0)
    for matrix in (base, *ends):
        assert torch.equal(matrix, matrix.bfloat16().float())


def test_turned_weights_keep_their_singular_values():
    base, _ = weights.make_matrix(WeightScenario(), weights.names()[0], seed=0)
    change = turned(base, torch.Generator().manual_seed(0))
    moved = torch.linalg.svdvals(base + 1e-4 * change / change.norm())
    assert (moved - torch.linalg.svdvals(base)).norm() < 1e-6
