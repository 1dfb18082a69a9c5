"""Alignment: planted angles and sides are found; walks of any shape raise no alarm."""

import functools

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rankone.dynamics import alignment, trajectory_statistics
from rankone.dynamics import random_walk as walks
from rankone.dynamics.alignment import (
    ACROSS_LAYERS,
    ACROSS_SEEDS,
    ADJACENT,
    CONTRAST,
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
    increment_statistics,
    random_walk,
    walk_alignment,
    walk_null,
)
from rankone.dynamics.trajectory_statistics import (
    WALK_LINEARITY,
    WALK_SHARE,
    WALK_SHARE_OF_FIVE,
    gram,
)
from rankone.errors import UserError
from rankone.linalg.svd import leading
from rankone.statistics.intervals import clustered_interval

STEPS = (10, 20, 30, 40)
SHAPES = {"q_proj": (24, 24), "up_proj": (48, 16), "down_proj": (16, 48)}
CLASSES = {"q_proj": "square", "up_proj": "tall", "down_proj": "wide"}
LAYERS, STUDIES = 12, 30
POOL = LAYERS * STUDIES
# Strength of the triplet in walks with a spike; clearly above noise in all shapes.
SPIKE = 0.6


def torch_rng(seed=0):
    return torch.Generator().manual_seed(seed)


def rng(seed=0):
    return np.random.default_rng(seed)


def tensor_name(layer, module="q_proj"):
    block = "self_attn" if module == "q_proj" else "mlp"
    return f"model.layers.{layer}.{block}.{module}.weight"


def direction(size, angle=0.0, axes=(0, 1)):
    """A unit vector in a plane, at an angle from the first axis."""
    vector = torch.zeros(size)
    vector[axes[0]], vector[axes[1]] = np.cos(angle), np.sin(angle)
    return vector


def turned(rows, columns, left, right, noise=1e-4, seed=0):
    """Factors of a rank-1 update with these angles of its vectors, and some noise."""
    update = torch.outer(direction(rows, left), direction(columns, right))
    return leading(
        update + noise * torch.randn(rows, columns, generator=torch_rng(seed)), 1
    )


def unclear(rows, columns):
    """Factors of an update whose first direction is not identifiable."""
    return leading(torch.eye(rows, columns), 1)


def walk(count, dimension, seed, rho=0.0, drift=0.0):
    """Positions [count, dimension] of a walk with AR(1) noise and a drift a step."""
    generator = rng(seed)
    noise = generator.normal(size=(count, dimension)) / np.sqrt(dimension)
    for i in range(1, count):
        noise[i] = rho * noise[i - 1] + np.sqrt(1 - rho**2) * noise[i]
    way = generator.normal(size=dimension)
    return np.cumsum(noise + drift * way / np.linalg.norm(way), axis=0)


def walk_gram(*args, **options):
    positions = walk(*args, **options)
    return positions @ positions.T


# Cosines and angles


def test_cosines_are_absolute_and_of_every_pair():
    stack = torch.stack([direction(5, angle) for angle in (0.0, 0.5, np.pi, 2.5)])
    expected = np.abs(np.cos(np.subtract.outer(*[[0.0, 0.5, np.pi, 2.5]] * 2)))
    np.testing.assert_allclose(
        alignment.absolute_cosines(stack), expected, rtol=0, atol=1e-6
    )


def test_principal_angles_are_those_of_the_planes_smallest_first():
    axes = torch.eye(6).double()
    first = axes[:, :2]
    angles = torch.tensor([1.0, 1e-6]).double()
    second = axes[:, :2] * angles.cos() + axes[:, 2:4] * angles.sin()
    turn = torch.linalg.qr(torch.randn(2, 2, generator=torch_rng()).double())[0]
    found = alignment.principal_angles(first @ turn, second)
    # An arccosine would be off by its whole size here.
    np.testing.assert_allclose(found, [1e-6, 1.0], rtol=1e-3)


@given(st.integers(1, 4), st.integers(1, 4), st.integers(0, 99))
@settings(max_examples=30, deadline=None)
def test_principal_angles_ignore_bases_and_are_ascending(first, second, seed):
    noise = torch.randn(9, 8, generator=torch_rng(seed)).double()
    parts = noise[:, :first], noise[:, -second:]
    one, two = (torch.linalg.qr(part)[0] for part in parts)
    found = alignment.principal_angles(one, two)
    swapped = alignment.principal_angles(two.flip(1), -one)
    assert len(found) == min(first, second) and (np.diff(found) >= 0).all()
    np.testing.assert_allclose(found, swapped, atol=1e-7)


# Pairs


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


# Independent directions


def test_the_cosine_of_random_directions_in_space_is_uniform():
    # Archimedes: one coordinate of a point on the sphere in R^3 is uniform.
    assert walks.random_cosine(3) == pytest.approx((0.5, 12**-0.5))
    tails = walks.random_cosine_tail(np.array([0.1, 0.5, 0.9]), 3)
    assert tails == pytest.approx([0.9, 0.5, 0.1])


@pytest.mark.parametrize("dimension", [2, 24, 600])
def test_the_law_of_random_cosines_is_that_of_simulated_ones(dimension):
    one, two = rng().normal(size=(2, 4000, dimension))
    cosines = np.abs((one * two).sum(1))
    cosines /= np.linalg.norm(one, axis=1) * np.linalg.norm(two, axis=1)
    mean, sd = walks.random_cosine(dimension)
    assert cosines.mean() == pytest.approx(mean, abs=4 * sd / 4000**0.5)
    assert cosines.std() == pytest.approx(sd, rel=0.08)
    exceeded = np.mean(cosines >= mean)
    tail = walks.random_cosine_tail(mean, dimension)
    assert exceeded == pytest.approx(tail, abs=4 * (0.25 / 4000) ** 0.5)


def test_the_mean_cosine_in_many_dimensions_is_the_half_normal_one():
    mean, _ = walks.random_cosine(10**6)
    assert mean == pytest.approx(np.sqrt(2 / (np.pi * 10**6)), rel=1e-5)


# Moments


@pytest.mark.parametrize("shape", [(3000, 500), (7, 300), (1, 1)])
def test_the_gram_matrix_is_that_of_the_flattened_updates(shape):
    updates = [torch.randn(shape, generator=torch_rng(i)) for i in range(3)]
    flat = torch.stack(updates).reshape(3, -1).double().numpy()
    np.testing.assert_allclose(gram(updates), flat @ flat.T, rtol=1e-12)


def test_the_gram_matrix_of_a_plain_walk_is_the_earlier_of_two_steps():
    found = expected_gram(STEPS)
    np.testing.assert_allclose(found, np.minimum.outer(STEPS, STEPS) / 40)


@pytest.mark.parametrize("rho", [-0.5, 0.3, 0.9])
def test_the_gram_matrix_of_a_correlated_walk_is_the_sum_of_its_correlations(rho):
    lags = np.abs(np.subtract.outer(np.arange(40), np.arange(40)))
    sums = np.cumsum(np.cumsum(rho**lags, axis=0), axis=1)
    at = np.array(STEPS) - 1
    expected = sums[np.ix_(at, at)] / sums[39, 39]
    np.testing.assert_allclose(expected_gram(STEPS, rho), expected)


@pytest.mark.parametrize("rho", [0.0, 0.5, 0.9])
@pytest.mark.parametrize("snr", [0.0, 0.5, 2.0])
def test_correlation_and_drift_of_a_simulated_walk_are_recovered(rho, snr):
    steps = np.array([5, 10, 20, 25, 40, 60])
    noise = walks.path_variance(np.array(60.0), rho)
    positions = walk(60, 40_000, 3, rho, snr * np.sqrt(noise) / 60)[steps - 1]
    found = increment_statistics(positions @ positions.T, steps)
    assert found.rho == pytest.approx(rho, abs=0.05)
    assert found.drift_snr == pytest.approx(snr, abs=0.15)


def test_the_exponent_is_one_for_a_walk_and_two_for_a_drift():
    walk = expected_gram(STEPS)
    assert increment_statistics(walk, STEPS).exponent == pytest.approx(1)
    drift = expected_gram(STEPS, drift_snr=1e3)
    assert increment_statistics(drift, STEPS).exponent == pytest.approx(2, abs=1e-5)


def test_sizes_of_increments_do_not_pass_for_a_drift():
    """A walk with a decaying learning rate is still a walk."""
    scale = np.array([1.0, 0.7, 0.4, 0.1])
    times = np.cumsum(scale**2)
    found = increment_statistics(np.minimum.outer(times, times), STEPS)
    assert abs(found.rho) < 0.01 and found.drift_snr < 0.03


def test_too_few_steps_have_no_correlation():
    found = increment_statistics(expected_gram(STEPS[:2]), STEPS[:2])
    assert np.isnan([found.rho, found.drift_snr]).all()
    assert found.exponent == pytest.approx(1)
    assert np.isnan(increment_statistics(np.ones((1, 1)), (10,)).exponent)


def test_updates_of_several_sizes_have_one_mean_gram_matrix():
    one = expected_gram(STEPS)
    found = walks.mean_gram([one, 100 * one, np.eye(4)])
    expected = (2 * one / np.trace(one) + np.eye(4) / 4) / 3
    np.testing.assert_allclose(found, expected)


# Simulated matrices


@pytest.mark.parametrize("spike", [0.0, 0.7])
@pytest.mark.parametrize("drift", [0.0, 1.0])
def test_simulated_updates_have_the_gram_matrix_they_should(spike, drift):
    wanted = expected_gram(STEPS, drift_snr=drift)
    found = [
        gram(walks.simulated_updates(60, 40, wanted, torch_rng(i), spike))
        for i in range(100)
    ]
    expected = walks.as_correlation(wanted)
    np.testing.assert_allclose(np.mean(found, axis=0), expected, atol=0.03)


@pytest.mark.parametrize("shape", [(200, 200), (400, 100), (100, 400)])
@pytest.mark.parametrize("strength", [0.4, 0.8])
def test_the_strength_of_a_spike_is_found_from_the_first_share(shape, strength):
    (factors,) = random_walk(*shape, np.eye(1), torch_rng(1), strength)
    share = factors.sigma[0].item() / factors.norm
    assert share > strength
    assert walks.spike_strength(share, *shape) == pytest.approx(strength, abs=0.02)


def test_shares_that_noise_has_are_no_spike_and_all_is_all():
    assert walks.spike_strength(0.08, 576, 576) == 0
    assert walks.spike_strength(1.0, 576, 1536) == pytest.approx(1)
    found = walks.spike_strength(np.array([0.05, 0.5, 0.9]), 576, 1536)
    assert (np.diff(found) > 0).all()


def test_the_same_generator_gives_the_same_walk():
    one, two = (random_walk(9, 8, np.eye(2), torch_rng(5), 0.5) for _ in range(2))
    assert all(torch.equal(a.left, b.left) for a, b in zip(one, two, strict=True))


def test_a_shuffled_trajectory_ends_where_the_measured_one_does():
    updates = list(torch.randn(4, 12, 9, generator=torch_rng()).cumsum(0))
    last = leading(updates[-1], 1)
    shuffled = [walks.step_shuffled(updates, torch_rng(i)) for i in range(5)]
    for surrogate in shuffled:
        torch.testing.assert_close(surrogate[-1].sigma, last.sigma)
    firsts = {round(surrogate[0].sigma.item(), 3) for surrogate in shuffled}
    steps = torch.stack(updates).diff(dim=0, prepend=torch.zeros(1, 12, 9))
    assert 1 < len(firsts)
    assert firsts <= {round(leading(each, 1).sigma.item(), 3) for each in steps}


def test_a_shuffled_trajectory_keeps_a_side_and_loses_an_order():
    angles = torch.linspace(0, torch.pi / 2, 6)
    right = torch.zeros(6, 20)
    right[:, 0], right[:, 1] = angles.cos(), angles.sin()
    steps = torch.eye(30)[0][:, None] * right[:, None, :]
    updates = list(steps.cumsum(0))
    measured = alignment.first_cosines([leading(each, 1) for each in updates])
    null = walks.shuffled_null(range(6), updates, torch_rng(), 30)
    null = null[null["kind"] == alignment.TO_FINAL].set_index(["side", "step"])["mean"]
    np.testing.assert_allclose(null[LEFT], 1, atol=1e-5)
    # Turning one way, the first step is the furthest from the last sum.
    assert measured[RIGHT][0, 5] + 0.1 < null[RIGHT, 0]


def test_the_null_of_a_square_matrix_prefers_no_side_at_all():
    null = walk_alignment(24, 24, STEPS, expected_gram(STEPS), torch_rng(), draws=60)
    sides = null.pivot(index=["kind", "step"], columns="side", values="mean")
    np.testing.assert_allclose(sides[CONTRAST], 0, atol=1e-12)
    np.testing.assert_allclose(sides[LEFT], sides[RIGHT])
    assert (null.loc[null["side"] == CONTRAST, "error"] == 0).all()


def test_too_few_identifiable_draws_make_no_null():
    draws = [[unclear(6, 6)] * 2] * 30 + [[turned(6, 6, 0, 0)] * 2] * 19
    null = walks.simulated_null((1, 2), draws)
    assert (null["draws"] == 19).all() and null[["mean", "sd"]].isna().all(axis=None)
    more = walks.simulated_null((1, 2), [*draws, [turned(6, 6, 0, 0)] * 2])
    assert (more["draws"] == 20).all() and more["mean"].notna().all()


# The contrast of the sides


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


@pytest.mark.parametrize("clusters", [4, 12])
def test_the_interval_of_few_clusters_covers_what_it_should(clusters):
    hits, generator = 0, rng(8)
    for _ in range(400):
        sample = generator.normal(size=clusters)
        drawn = generator.choice(sample, (1000, clusters)).mean(1)
        found = clustered_interval(sample.mean(), drawn, clusters)
        hits += found.low <= 0 <= found.high
    assert 0.92 < hits / 400 < 0.98


# The trajectory as a whole


def test_closed_forms_are_the_published_values():
    assert WALK_SHARE == pytest.approx(0.8106, abs=5e-5)
    assert WALK_SHARE_OF_FIVE == pytest.approx(0.845, abs=5e-4)
    assert WALK_LINEARITY == pytest.approx(0.958, abs=5e-4)


def test_a_simulated_walk_has_the_known_shares_and_linearity():
    # In 30 000 dimensions a walk of 100 steps is within 0.006 of the limit.
    steps, positions = np.arange(1, 101), walk_gram(100, 30_000, 1)
    found = trajectory_statistics.trajectory_statistics(positions, steps)
    assert found["first_component_share"] == pytest.approx(WALK_SHARE, abs=0.006)
    assert found["share_of_five"] == pytest.approx(WALK_SHARE_OF_FIVE, abs=0.006)
    assert found["linearity_r2"] == pytest.approx(WALK_LINEARITY, abs=0.006)


@pytest.mark.parametrize(
    ("snr", "expected"), [(0.0, 0.958), (0.5, 0.975), (1.0, 0.991)]
)
def test_a_drift_makes_the_first_coefficient_more_linear(snr, expected):
    steps = np.arange(1, 301)
    found = trajectory_statistics.linearity_r2(
        expected_gram(steps, drift_snr=snr), steps
    )
    assert found == pytest.approx(expected, abs=0.003)


def test_the_null_without_matrices_is_that_of_walks_in_so_many_dimensions():
    steps = np.arange(1, 21)
    null = walk_null(steps, 400, rng(), rho=0.4, drift_snr=0.5, dimension=300)
    noise = walks.path_variance(np.array(20.0), 0.4)
    direct = pd.DataFrame(
        trajectory_statistics.trajectory_statistics(
            walk_gram(20, 300, seed, 0.4, 0.5 * np.sqrt(noise) / 20), steps
        )
        for seed in range(400)
    )
    # The length of the drift is fixed here and random there: compare with care.
    for name in null.drop(columns="extrapolation_r2"):
        error = np.hypot(null[name].sem(), direct[name].sem())
        assert null[name].mean() == pytest.approx(direct[name].mean(), abs=5 * error)
        assert null[name].std() == pytest.approx(direct[name].std(), rel=0.25)


def test_many_dimensions_leave_the_null_no_spread():
    null = walk_null(np.arange(1, 101), 5, rng()).drop(columns="extrapolation_r2")
    assert (null.std() < 0.002).all()
    limits = [WALK_SHARE, WALK_SHARE_OF_FIVE, WALK_LINEARITY]
    np.testing.assert_allclose(null.mean(), limits, atol=0.004)


def test_a_straight_line_is_one_component_and_linear_in_and_out_of_sample():
    line = expected_gram(STEPS, drift_snr=1e6)
    found = trajectory_statistics.trajectory_statistics(line, STEPS)
    assert list(found.values())[:3] == pytest.approx([1, 1, 1], abs=1e-6)
    assert trajectory_statistics.extrapolation_r2(line, STEPS, 2) == pytest.approx(
        1, abs=1e-6
    )


def test_a_walk_is_linear_in_sample_but_cannot_be_extrapolated():
    found, steps = walk_gram(60, 20_000, 2), np.arange(1, 61)
    assert trajectory_statistics.linearity_r2(found, steps) > 0.9
    assert trajectory_statistics.extrapolation_r2(found, steps, 30) < 0


@pytest.mark.parametrize(("count", "defined"), [(1, 2), (2, 2), (3, 3), (4, 3), (5, 4)])
def test_too_few_steps_leave_statistics_undefined(count, defined):
    steps = np.arange(1, count + 1)
    found = trajectory_statistics.trajectory_statistics(expected_gram(steps), steps)
    assert np.isfinite(list(found.values())).sum() == defined


def test_a_matrix_that_does_not_move_has_no_statistics():
    gram = np.zeros((6, 6))
    found = trajectory_statistics.trajectory_statistics(gram, np.arange(1, 7))
    assert np.isnan(list(found.values())).all()
    gram[5, 5] = 1.0  # and one that moves at the end has no line before
    found = trajectory_statistics.trajectory_statistics(gram, np.arange(1, 7))
    assert np.isnan([found["linearity_r2"], found["extrapolation_r2"]]).all()


def test_coefficients_are_projections_on_the_first_component_of_known_steps():
    positions = walk(8, 50, 3, drift=0.3)
    component = np.linalg.svd(positions[:5], full_matrices=False)[2][0]
    expected = positions @ component
    found = trajectory_statistics.first_coefficients(positions @ positions.T, 5)
    np.testing.assert_allclose(found, expected * np.sign(expected[4]), atol=1e-8)


def test_correlations_beyond_one_are_refused():
    with pytest.raises(ValueError, match="rho"):
        expected_gram(STEPS, rho=1.0)
