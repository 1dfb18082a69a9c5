"""Leading subspaces: their overlap, and what a walk and a fixed subspace give."""

import pandas as pd
import pytest
import torch

from rankone.dynamics import subspaces
from rankone.dynamics.trajectory_statistics import gram
from rankone.linalg.random_matrices import haar
from rankone.linalg.svd import leading

NAME = "model.layers.{}.self_attn.q_proj.weight"
STEPS, LAYERS, WIDTH = (4, 8, 12), 6, 40


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def study(make):
    """Factors of five directions and Gram matrices of one matrix in each layer."""
    kept, grams = {step: {} for step in STEPS}, {}
    for layer in range(LAYERS):
        name = NAME.format(layer)
        updates = make(generator(layer))
        grams[name] = pd.DataFrame(gram(updates), index=STEPS, columns=STEPS)
        for step, update in zip(STEPS, updates, strict=True):
            kept[step][name] = leading(update, 5)
    return subspaces.subspace_table({"r": kept}, {"r": grams}, 20, 0, 400)


def test_the_overlap_is_that_of_the_principal_angles():
    frame = haar(9, 4, generator())
    turned = frame @ haar(4, 4, generator(1))
    assert subspaces.subspace_overlap(frame, turned) == pytest.approx(1, abs=1e-5)
    cosines = torch.linalg.svdvals(frame.T @ haar(9, 4, generator(2)))
    found = subspaces.subspace_overlap(frame, haar(9, 4, generator(2)))
    assert found == pytest.approx(cosines.square().mean().item(), abs=1e-5)


def test_a_subspace_that_stays_is_far_above_the_walk():
    def stay(numbers):
        left, right = (haar(WIDTH, 4, numbers) for _ in range(2))
        noise = 0.02 * torch.randn(len(STEPS), WIDTH, WIDTH, generator=numbers)
        return list((left * torch.tensor([4.0, 3.5, 3.0, 2.5])) @ right.T + noise)

    table = study(stay)
    assert (table["used"] == LAYERS).all() and (table["n"] == LAYERS).all()
    assert (table["overlap"] > 0.95).all() and (table["z"] > 3).all()
    assert table["chance"].tolist() == pytest.approx([4 / WIDTH] * len(table))


def test_independent_noise_has_no_separate_subspace():
    def noise(numbers):
        return list(torch.randn(len(STEPS), WIDTH, WIDTH, generator=numbers))

    table = study(noise)
    assert set(table["side"]) == {"left", "right"}
    assert (table["used"] < LAYERS).all()
    close = table.dropna(subset="overlap")
    assert (close["overlap"] < 0.4).all()


def test_a_single_step_has_no_rows():
    kept = {4: {NAME.format(0): leading(torch.eye(8), 5)}}
    empty = pd.DataFrame([[1.0]], index=[4], columns=[4])
    table = subspaces.subspace_table({"r": kept}, {"r": {NAME.format(0): empty}}, 20, 0)
    assert table.empty and list(table.columns) == subspaces.COLUMNS
