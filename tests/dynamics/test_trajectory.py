"""Trajectories: straight ones are told from walks, weight by weight and as a whole."""

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import save_file

from rankone.dynamics import trajectory, weight_linearity
from rankone.dynamics.alignment_tables import SHUFFLED_COLUMNS
from rankone.tables_io import read_table
from trajectory import main

STEPS = [4, 8, 12, 16, 20, 24]
WALK = "model.layers.{}.self_attn.q_proj.weight"
LINE = "model.layers.{}.mlp.up_proj.weight"
STILL = "model.layers.{}.self_attn.k_proj.weight"
SHAPES = {WALK: (80, 80), LINE: (90, 60), STILL: (20, 80)}


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def moved(name, base, step):
    """A weight after so many steps: a walk, a straight line, or as it was."""
    if name == LINE:
        return base + step * 1e-3
    if name == STILL:
        return base
    noise = torch.randn(step, *base.shape, generator=generator(int(base[0, 0] * 1e6)))
    return base + 1e-3 * noise.sum(0)


def write(folder, steps):
    """A base model of two layers and its checkpoints at these steps."""
    weights = {
        name.format(layer): (name, torch.rand(shape, generator=generator(layer)) + 0.01)
        for name, shape in SHAPES.items()
        for layer in range(2)
    }
    (folder / "model").mkdir()
    base = {full: weight for full, (_, weight) in weights.items()}
    save_file(base, folder / "model" / "model.safetensors")
    for step in steps:
        trained = {full: moved(*pair, step) for full, pair in weights.items()}
        save_file(trained, folder / f"step-{step}.safetensors")
    return {step: folder / f"step-{step}.safetensors" for step in steps}


def follow(folder, steps):
    """The tables of a run with these exported steps."""
    files, outputs = write(folder, steps), [folder / "m.parquet", folder / "g.parquet"]
    outputs.append(folder / "s.parquet")
    main("full-seed0", folder / "model", files, 20, 0, *outputs)
    return read_table(outputs[0]), *outputs[1:]


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    return follow(tmp_path_factory.mktemp("run"), STEPS)


def cell(table, name):
    rows = table[table["tensor"] == name.format(0)]
    return rows.set_index("statistic")


def test_every_matrix_has_a_row_for_every_statistic(found):
    table = found[0]
    assert list(table.columns) == trajectory.MATRIX_COLUMNS
    assert table.groupby("tensor").size().tolist() == [10] * 6
    assert (table["steps"] == 6).all() and set(table["layer"]) == {0, 1}


def test_every_matrix_that_moved_has_surrogates(found):
    surrogates = read_table(found[2])
    assert list(surrogates) == SHUFFLED_COLUMNS
    # Six steps: five adjacent, six further apart, five to the final one.
    assert (surrogates.groupby(["tensor", "side"]).size() == 16).all()
    known = surrogates.dropna(subset="shuffled")["tensor"].unique()
    assert {LINE.format(0), LINE.format(1)} <= set(known)
    assert not {STILL.format(0), STILL.format(1)} & set(known)


def test_inner_products_are_those_of_the_updates(found, tmp_path):
    grams = trajectory.read_grams(found[1])
    update = STEPS[1] * 1e-3 * np.sqrt(90 * 60)
    assert grams[LINE.format(1)].loc[8, 8] == pytest.approx(update**2, rel=1e-3)
    assert grams[LINE.format(1)].loc[8, 24] == pytest.approx(3 * update**2, rel=1e-3)
    assert grams[WALK.format(0)].index.tolist() == STEPS


def test_a_straight_trajectory_is_above_every_band(found):
    line = cell(found[0], LINE)
    for name in ("first_component_share", "linearity_r2", "extrapolation_r2"):
        assert line.loc[name, "value"] == pytest.approx(1, abs=1e-4)
        assert line.loc[name, "value"] > line.loc[name, "null_high"]
    for name in ("linear_share", "linear_share_filtered"):
        assert line.loc[name, "value"] == 1 > line.loc[name, "null_high"]
    assert line.loc["exponent", "value"] == pytest.approx(2, abs=1e-3)
    assert line.loc["drift_snr", "value"] > 10


def test_a_walk_is_as_linear_as_a_walk(found):
    walk = cell(found[0], WALK)
    names = ["first_component_share", "linearity_r2", "exponent", "rho"]
    rows = walk.loc[names]
    width = rows["null_high"] - rows["null_low"]
    # Twice the band of 95 %: these are four statistics of one walk.
    assert ((rows["value"] - rows["null"]).abs() < width).all()
    assert walk.loc["linear_share", "value"] == pytest.approx(
        walk.loc["linear_share", "null"], abs=0.02
    )


def test_a_matrix_that_does_not_move_is_undefined(found):
    rows = cell(found[0], STILL)
    assert rows.drop("filtered_share")["value"].isna().all()
    assert rows.loc["filtered_share", "value"] == 0


@pytest.mark.parametrize("steps", [[8], [4, 8]])
def test_few_exported_steps_are_no_error(tmp_path, steps):
    table, grams, _ = follow(tmp_path, steps)
    line = cell(table, LINE)["value"]
    assert np.isnan(line[["linearity_r2", "extrapolation_r2", "rho"]]).all()
    assert np.isnan(line["linear_share"]) == (len(steps) == 1)
    assert trajectory.read_grams(grams)[LINE.format(0)].shape == (len(steps),) * 2


def test_the_mean_over_matrices_has_the_null_beside_it(found):
    table = found[0].assign(arm="full")
    means = trajectory.trajectory_table(table, 0, 200)
    assert set(means["run"]) == {"full-seed0", "all"}
    row = means[(means["run"] == "all") & (means["statistic"] == "linearity_r2")].iloc[
        0
    ]
    assert row["n"] == 4 and row["low"] <= row["value"] <= row["high"]
    values = table[table["statistic"] == "linearity_r2"]
    assert row["value"] == pytest.approx(values["value"].mean())
    assert row["null_low"] <= row["null"] <= row["null_high"] < 1


# Single weights


def walks(steps, count=50_000, seed=1):
    """Positions [T + 1, count] of independent walks, by another way."""
    rng = np.random.default_rng(seed)
    gaps = np.diff([0, *steps])[:, None]
    increments = rng.normal(size=(len(steps), count)) * np.sqrt(gaps)
    return np.vstack([np.zeros(count), np.cumsum(increments, axis=0)])


def test_r_squared_is_the_squared_correlation():
    steps, paths = [0, 1, 5, 9], torch.randn(4, 30, generator=generator())
    expected = [np.corrcoef(steps, path)[0, 1] ** 2 for path in paths.T.numpy()]
    assert weight_linearity.r_squared(paths, steps).tolist() == pytest.approx(expected)
    assert weight_linearity.r_squared(paths[:2], steps[:2]).isnan().all()
    assert weight_linearity.r_squared(torch.zeros(4, 1), steps).isnan().all()


@pytest.mark.parametrize("steps", [range(1, 14), (4, 8, 12, 16, 20), (1, 2, 10)])
def test_the_null_share_is_that_of_simulated_walks(steps):
    null = weight_linearity.straight_walks(list(steps), generator())
    paths = walks(steps)
    straight = (
        weight_linearity.r_squared(torch.tensor(paths), [0, *steps]).numpy() > 0.7
    )
    assert null[-1] == pytest.approx(straight.mean(), abs=0.01)
    furthest = np.argsort(-np.ptp(paths, axis=0))[: len(straight) // 10]
    matched = null[weight_linearity.WALKS // 10 - 1]
    assert matched == pytest.approx(straight[furthest].mean(), abs=0.02)
    assert matched > null[-1]


def test_the_null_share_without_selection_is_the_published_one():
    # 14 points: the base and 13 checkpoints.
    null = weight_linearity.straight_walks(list(range(1, 14)), generator())
    assert null[-1] == pytest.approx(0.266, abs=0.01)


def test_a_filter_makes_walks_look_straight_and_the_null_says_so():
    """The paper's statistic on walks alone: its null has the same selection."""
    steps = [4, 8, 12, 16, 20]
    paths = torch.tensor(walks(steps)[1:] * 1e-5, dtype=torch.float32)
    base = torch.full((100, 500), 0.003)
    updates = list(paths.reshape(5, 100, 500))
    rows = weight_linearity.linearity_statistics(
        weight_linearity.measure(base, updates, steps),
        *2 * [weight_linearity.straight_walks(steps, generator())],
    )
    found = pd.DataFrame(rows).set_index("statistic")
    share = found.loc["filtered_share", "value"]
    assert 0.01 < share < 0.2
    plain, filtered = found["value"][["linear_share", "linear_share_filtered"]]
    assert filtered > plain + 0.2
    assert filtered == pytest.approx(found["null"]["linear_share_filtered"], abs=0.05)


def test_weights_are_kept_by_their_range_and_their_bfloat16_values():
    ulp = 2.0**-7
    base = torch.tensor([[1.0, 1.0, 1.0, 0.0]])
    ends = [
        [ulp, 2 * ulp, 3 * ulp],  # four values
        [ulp, ulp, ulp],  # two
        [ulp / 8, ulp / 8, ulp / 8],  # far enough, but one value in bfloat16
        [2e-5, 4e-5, 6e-5],  # many values, but not far enough
    ]
    updates = list(torch.tensor(ends).T[:, None])
    found = weight_linearity.measure(base, updates, [1, 2, 3])
    assert (found.total, found.changed, found.kept) == (4, 4, 1)
    assert found.kept_straight == 1


def test_parts_of_a_matrix_add_up_to_the_whole(monkeypatch):
    weight = torch.rand(50, 20, generator=generator())
    updates = list(1e-2 * torch.randn(5, 50, 20, generator=generator(1)).cumsum(0))
    whole = weight_linearity.measure(weight, updates, STEPS[:5])
    monkeypatch.setattr(weight_linearity, "CACHED", 100)
    assert weight_linearity.measure(weight, updates, STEPS[:5]) == whole
    assert whole.total == 1000 and 0 < whole.kept_straight < whole.straight <= 1000
