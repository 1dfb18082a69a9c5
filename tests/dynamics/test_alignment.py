"""Alignment: planted angles and sides are found; walks of any shape raise no alarm."""

import functools

import numpy as np
import pandas as pd
import pytest
import torch

from rankone.dynamics import alignment
from rankone.dynamics import random_walk as walks
from rankone.dynamics.alignment import (
    ACROSS_LAYERS,
    ACROSS_SEEDS,
    ADJACENT,
    FURTHER,
    LEFT,
    RIGHT,
    TO_FINAL,
    contrast,
    differences,
    pairs,
    standardised,
)
from rankone.dynamics.random_walk import (
    expected_gram,
    random_walk,
    walk_alignment,
)
from rankone.errors import UserError
from rankone.linalg.svd import leading
from trajectories import STEPS, direction, torch_rng, turned, unclear

SHAPES = {"q_proj": (24, 24), "up_proj": (48, 16), "down_proj": (16, 48)}
CLASSES = {"q_proj": "square", "up_proj": "tall", "down_proj": "wide"}
LAYERS, STUDIES = 12, 30
POOL = LAYERS * STUDIES
# Strength of the triplet in walks with a spike; clearly above noise in all shapes.
SPIKE = 0.6


def tensor_name(layer, module="q_proj"):
    block = "self_attn" if module == "q_proj" else "mlp"
    return f"model.layers.{layer}.{block}.{module}.weight"


def test_cosines_are_absolute_and_of_every_pair():
    stack = torch.stack([direction(5, angle) for angle in (0.0, 0.5, np.pi, 2.5)])
    expected = np.abs(np.cos(np.subtract.outer(*[[0.0, 0.5, np.pi, 2.5]] * 2)))
    np.testing.assert_allclose(
        alignment.absolute_cosines(stack), expected, rtol=0, atol=1e-6
    )


def trajectory(modules=("q_proj",), layers=2, steps=STEPS, seed=0):
    return {
        step: {
            tensor_name(layer, module): turned(
                *SHAPES[module], 0.1 * i, 0.2 * i, seed=seed + layer
            )
            for module in modules
            for layer in range(layers)
        }
        for i, step in enumerate(steps)
    }


def test_pairs_over_time_go_from_the_earlier_to_the_later_step():
    unordered = dict(sorted(trajectory(layers=1).items(), reverse=True))
    table = pairs({"full-seed0": unordered})
    left = table[table["side"] == LEFT]
    ends = {
        kind: list(zip(cell["step"], cell["other"], strict=True))
        for kind, cell in left.groupby("kind")
    }
    assert ends == {
        ADJACENT: [(10, "20"), (20, "30"), (30, "40")],
        FURTHER: [(10, "30")],
        TO_FINAL: [(10, "40"), (20, "40"), (30, "40")],
    }


def test_cosines_over_time_are_the_planted_angles():
    table = pairs({"full-seed0": trajectory(layers=1)})
    for side, angle in ((LEFT, 0.1), (RIGHT, 0.2)):
        rows = table[(table["side"] == side) & (table["kind"] == TO_FINAL)]
        assert rows["cosine"].tolist() == pytest.approx(
            np.cos(angle * np.array([3, 2, 1])), abs=1e-3
        )


def test_layers_are_compared_within_a_module_and_a_step():
    table = pairs({"full-seed0": trajectory(SHAPES, layers=3, steps=(10,))})
    assert set(table["kind"]) == {ACROSS_LAYERS}
    for module, cell in table[table["side"] == LEFT].groupby("module"):
        assert list(zip(cell["layer"], cell["other"], strict=True)) == [
            *((0, "1"), (0, "2"), (1, "2"))
        ]
        assert set(zip(cell["rows"], cell["columns"], strict=True)) == {SHAPES[module]}
        assert set(cell["tensor"]) == {tensor_name(i, module) for i in (0, 1)}


def test_layers_of_other_shapes_are_not_compared():
    kept = {tensor_name(i): turned(8 + i // 2, 8, 0, 0) for i in range(4)}
    table = pairs({"full-seed0": {10: kept}})
    ends = table[["layer", "other"]].drop_duplicates()
    assert list(zip(ends["layer"], ends["other"], strict=True)) == [(0, "1"), (2, "3")]


def test_seeds_are_compared_within_an_arm_at_steps_of_both():
    runs = {
        "full-seed0": trajectory(layers=1),
        "full-seed1": trajectory(layers=1, steps=(20, 40, 50), seed=7),
        "prs-seed0": trajectory(layers=1),
    }
    table = pairs(runs)
    table = table[table["kind"] == ACROSS_SEEDS]
    assert set(table["run"]) == {"full-seed0"} and set(table["other"]) == {"full-seed1"}
    left = table[table["side"] == LEFT].set_index("step")["cosine"]
    # Steps 20 and 40 are numbers 1 and 3 of the first run, 0 and 1 of the second.
    assert left[20] == pytest.approx(np.cos(0.1), abs=1e-3)
    assert left[40] == pytest.approx(np.cos(0.2), abs=1e-3)


def test_directions_that_are_not_identifiable_are_left_out():
    steps = trajectory(layers=1)
    steps[20][tensor_name(0)] = unclear(24, 24)
    table = pairs({"full-seed0": steps})
    bad = (table["step"] == 20) | (table["other"] == "20")
    assert bad.any() and not table.loc[bad, "used"].any()
    assert table.loc[bad, "cosine"].isna().all()
    assert table.loc[~bad, "used"].all() and table.loc[~bad, "cosine"].notna().all()
    assert len(differences(table)) == (~bad).sum() / 2


def test_a_tensor_that_is_no_linear_map_is_refused():
    with pytest.raises(UserError, match="seven linear maps"):
        pairs({"full-seed0": {10: {"model.embed_tokens.weight": turned(8, 8, 0, 0)}}})


def test_one_step_of_one_run_has_no_pairs_and_no_contrast():
    table = pairs({"full-seed0": trajectory(layers=1, steps=(10,))})
    null = walks.independent_alignment(24, 24)
    assert table.empty and contrast(table, null).empty


@functools.cache
def null_of(spike=0.0):
    """The null of walks over time of every shape."""
    wanted, generator = expected_gram(STEPS), torch_rng(99)
    walks = [
        walk_alignment(*shape, STEPS, wanted, generator, spike, draws=100)
        for shape in SHAPES.values()
    ]
    return pd.concat(walks, ignore_index=True)


@functools.cache
def pool_of(spike=0.0):
    """Pairs over time of independent walks in POOL layers of every shape."""
    generator, steps = torch_rng(1), {step: {} for step in STEPS}
    for module, shape in SHAPES.items():
        for layer in range(POOL):
            walk = random_walk(*shape, expected_gram(STEPS), generator, spike)
            for step, factors in zip(STEPS, walk, strict=True):
                steps[step][tensor_name(layer, module)] = factors
    return alignment.over_time("walk-seed0", steps)


def alarms(spike):
    """Contrasts of STUDIES studies of LAYERS layers each."""
    table = pool_of(spike)
    studies = [
        contrast(study, null_of(spike), draws=400)
        for _, study in table.groupby(table["layer"] // LAYERS)
    ]
    found = pd.concat(studies)
    return found.assign(alarm=(found["z_low"] > 0) | (found["z_high"] < 0))


@pytest.mark.parametrize("spike", [0.0, SPIKE])
def test_walks_of_any_shape_raise_an_alarm_about_one_time_in_twenty(spike):
    rates = alarms(spike).groupby(["shape", "kind"])["alarm"].mean()
    assert len(rates) == 9
    # Three standard errors of a rate of 0.05 in so many studies, and one alarm in all.
    assert (rates <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / STUDIES)).all()
    assert 0 < rates.mean() < 0.09


def test_the_side_of_the_shorter_dimension_aligns_more_until_standardised():
    whole = contrast(pool_of(), null_of(), draws=400).set_index(["kind", "shape"])
    for kind in (ADJACENT, TO_FINAL):
        rows = whole.loc[kind]
        # Tall matrices have longer left vectors.
        assert rows.loc["tall", "high"] < 0 < rows.loc["wide", "low"]
        assert abs(rows.loc["square", "delta"]) < 0.01
        assert rows["z"].abs().max() < 0.3


def planted(angles, layers=10, noise=0.0):
    """A run whose left and right vectors turn by these angles from step to step."""
    steps = {step: {} for step in STEPS}
    for module, shape in SHAPES.items():
        for layer in range(layers):
            for i, step in enumerate(STEPS):
                steps[step][tensor_name(layer, module)] = turned(
                    *shape, i * angles[0], i * angles[1], noise, seed=100 * layer + i
                )
    return steps


@pytest.mark.parametrize("angles", [(0.1, 0.6), (0.6, 0.1)])
def test_a_planted_contrast_has_its_sign_and_its_size(angles):
    table = alignment.over_time("full-seed0", planted(angles, noise=0.01))
    found = contrast(table, null_of(SPIKE), draws=400).set_index(["kind", "shape"])
    expected = np.cos(angles[0]) - np.cos(angles[1])
    rows = found.loc[ADJACENT]
    assert set(rows.index) == set(CLASSES.values()) and (rows["n"] == 10).all()
    assert rows["delta"].tolist() == pytest.approx([expected] * 3, abs=0.01)
    assert (np.sign(rows["z_low"]) == np.sign(expected)).all()
    assert (np.sign(rows["z_high"]) == np.sign(expected)).all()


def test_vectors_that_align_on_the_left_only_are_found_in_noise():
    """Every step has its own right vector and the run's left one."""
    generator, steps, chance = torch_rng(4), {step: {} for step in STEPS}, []
    for layer in range(8):
        right = torch.randn(len(STEPS), 24, generator=generator)
        right /= right.norm(dim=1, keepdim=True)
        chance += np.diag(alignment.absolute_cosines(right), 1).tolist()
        for step, vector in zip(STEPS, right, strict=True):
            noise = torch.randn(24, 24, generator=generator) / 24
            update = 0.8 * torch.outer(direction(24), vector) + 0.6 * noise
            steps[step][tensor_name(layer)] = leading(update, 1)
    found = contrast(alignment.over_time("full-seed0", steps), null_of(SPIKE))
    found = found.set_index("kind").loc[ADJACENT]
    # Benaych-Georges and Nadakuditi: noise leaves this squared cosine on each side.
    kept = 1 - 0.6**2 / 24 / 0.8**2
    expected = kept * (1 - np.mean(chance))
    assert found["delta"] == pytest.approx(expected, abs=0.03)
    assert found["low"] < expected < found["high"] and found["z_low"] > 1


def test_a_spike_that_turns_equally_is_judged_by_a_null_with_a_spike():
    """Against a plain walk the weaker effect of the shape looks like a preference."""
    plain = contrast(pool_of(SPIKE), null_of(), draws=400).set_index(["kind", "shape"])
    matched = contrast(pool_of(SPIKE), null_of(SPIKE), draws=400)
    assert plain.loc[(ADJACENT, "tall"), "z_low"] > 0
    assert plain.loc[(ADJACENT, "wide"), "z_high"] < 0
    assert ((matched["z_low"] < 0) & (0 < matched["z_high"])).all()


@pytest.mark.parametrize("kind", [ACROSS_LAYERS, ACROSS_SEEDS])
def test_independent_layers_and_seeds_agree_with_the_closed_form(kind):
    runs = {}
    for seed in range(2):
        generator, found = torch_rng(40 + seed), {}
        for module, shape in SHAPES.items():
            for layer in range(20):
                (factors,) = random_walk(*shape, np.eye(1), generator, SPIKE)
                found[tensor_name(layer, module)] = factors
        runs[f"full-seed{seed}"] = {10: found}
    null = pd.concat([walks.independent_alignment(*shape) for shape in SHAPES.values()])
    table = pairs(runs)
    found = contrast(table[table["kind"] == kind], null, draws=400)
    assert len(found) == 3
    assert ((found["z_low"] < 0) & (0 < found["z_high"])).all()
    raw = standardised(table[table["kind"] == kind], null)
    assert abs(raw["z"].mean()) < 0.15 and raw["z"].std() == pytest.approx(1, abs=0.15)


def test_shared_left_directions_across_layers_are_found():
    kept = {}
    for layer in range(12):
        right = torch.randn(24, generator=torch_rng(layer))
        update = torch.outer(direction(24, 0.05 * layer), right / right.norm())
        kept[tensor_name(layer)] = leading(update, 1)
    table = pairs({"full-seed0": {10: kept}})
    found = contrast(table, walks.independent_alignment(24, 24), draws=400).iloc[0]
    links = np.subtract.outer(np.arange(12), np.arange(12))[np.triu_indices(12, 1)]
    expected = np.cos(0.05 * links).mean() - walks.random_cosine(24)[0]
    assert found["delta"] == pytest.approx(expected, abs=0.04)
    assert found["z_low"] > 3 and found["low"] < found["delta"] < found["high"]


def test_one_layer_has_a_contrast_without_an_interval():
    table = alignment.over_time("full-seed0", planted((0.1, 0.6), layers=1, noise=0.01))
    found = contrast(table, null_of(SPIKE), draws=50)
    assert found["z"].notna().all() and found[["z_low", "low"]].isna().all(axis=None)


def test_one_pair_of_layers_has_no_interval():
    run = {10: {tensor_name(i): turned(24, 24, 0.3 * i, 0, 0.01) for i in range(2)}}
    null = walks.independent_alignment(24, 24)
    found = contrast(pairs({"full-seed0": run}), null, draws=50)
    assert found["z"].notna().all() and found[["z_low", "low"]].isna().all(axis=None)


def test_pairs_without_a_null_are_an_error_and_never_dropped():
    null = null_of()
    with pytest.raises(ValueError, match="the null lacks"):
        contrast(pool_of(), null[null["rows"] != 48])


def test_the_same_seed_gives_the_same_contrast():
    one, two, other = (contrast(pool_of(), null_of(), s, draws=99) for s in (1, 1, 2))
    pd.testing.assert_frame_equal(one, two)
    assert not one["z_low"].equals(other["z_low"])
