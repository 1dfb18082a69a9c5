"""Alignment of a study: a planted side is found, walks of the measured kind are not."""

import numpy as np
import pandas as pd
import pytest
import torch

from analyze_alignment import main
from rankone.dynamics import alignment, alignment_tables, trajectory
from rankone.dynamics.alignment import ADJACENT, OVER_TIME
from rankone.dynamics.alignment_tables import SimulatedWalk, correlation, shared
from rankone.dynamics.random_walk import (
    as_correlation,
    expected_gram,
    random_walk,
    simulated_updates,
)
from rankone.linalg.svd import leading
from rankone.tables_io import read_table, write_table
from rankone.weights.factors import save_directions, save_factors

STEPS, EXPORTED = (2, 4, 6, 8), (4, 6, 8)
SHAPES = {
    "self_attn.q_proj": (40, 40),
    "self_attn.k_proj": (16, 40),
    "mlp.up_proj": (60, 40),
}
LAYERS, SPIKE = 6, 0.6
NAMES = ("alignment", "alignment_contrast", "trajectory")
TABLES = {name: f"{name}.tsv" for name in NAMES}
TABLES |= {n: f"{n}.parquet" for n in ("alignment_pairs", "trajectory_matrices")}
ARMS = {"full": "walk", "left": "left"}
RUNS = [f"{arm}-seed{seed}" for arm in ARMS for seed in range(2)]


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def walk(shape, rng):
    """A trajectory without a preferred side."""
    return random_walk(*shape, expected_gram(STEPS), rng, SPIKE)


def left_only(shape, rng):
    """A trajectory that has one left vector, and a new right one at every step."""
    rows, columns = shape
    left = torch.nn.functional.normalize(torch.randn(rows, generator=rng), dim=0)
    right = torch.randn(len(STEPS), columns, generator=rng)
    noise = simulated_updates(rows, columns, np.eye(len(STEPS)), rng)
    triplets = left[:, None] * torch.nn.functional.normalize(right)[:, None, :]
    return [leading(each, 1) for each in 0.8 * triplets + 0.6 * noise]


def surrogates(run, steps):
    """As if every surrogate's vectors were as aligned as the measured ones, halved."""
    pairs = alignment.over_time(run, steps)
    pairs = pairs[pairs["step"] != STEPS[0]]
    delta = alignment.differences(pairs).rename(columns={"delta": "cosine"})
    both = pd.concat([pairs, delta]).rename(columns={"cosine": "shuffled"})
    both["shuffled"] /= 2
    return both[alignment_tables.SHUFFLED_COLUMNS]


def write_run(folder, run, make, seed):
    """Directions, Gram matrices and statistics of a run, as the stages write them."""
    rng, steps, grams = generator(seed), {step: {} for step in STEPS}, []
    for layer in range(LAYERS):
        for module, shape in SHAPES.items():
            name = f"model.layers.{layer}.{module}.weight"
            for step, factors in zip(STEPS, make(shape, rng), strict=True):
                steps[step][name] = factors
            gram = expected_gram(EXPORTED)
            grams.append(trajectory.long_gram(name, gram, EXPORTED))
    sources = {(step, "step"): folder / f"{run}-{step}.safetensors" for step in STEPS}
    for step, kept in steps.items():
        save_factors(sources[step, "step"], kept, {})
    save_directions(folder / f"{run}.directions.safetensors", sources, {"run": run})
    write_table(pd.concat(grams), folder / f"{run}.gram.parquet")
    key = {"run": run, "module": "q_proj", "rows": 40, "columns": 40, "steps": 3}
    key |= {"statistic": "linearity_r2", "value": 0.9, "null": 0.95}
    rows = [key | {"layer": i, "tensor": str(i)} for i in range(LAYERS)]
    write_table(surrogates(run, steps), folder / f"{run}.shuffled.parquet")
    matrices = pd.DataFrame(rows).assign(null_low=0.94, null_high=0.96, momentum=0.97)
    write_table(matrices[trajectory.MATRIX_COLUMNS], folder / f"{run}.parquet")


def analyze(folder, runs, arms):
    outputs = {name: folder / file for name, file in TABLES.items()}
    kinds = ("directions.safetensors", "parquet", "gram.parquet", "shuffled.parquet")
    inputs = [[folder / f"{run}.{kind}" for run in runs] for kind in kinds]
    directions = dict(zip(runs, inputs[0], strict=True))
    options = {"null_draws": 60, "seed": 0, "draws": 300}
    main(runs, directions, *inputs[1:], {}, outputs, arms, **options)
    return {name: read_table(path) for name, path in outputs.items()}


@pytest.fixture(scope="module")
def tables(tmp_path_factory):
    folder = tmp_path_factory.mktemp("study")
    makers = {"walk": walk, "left": left_only}
    for seed, run in enumerate(RUNS):
        write_run(folder, run, makers[ARMS[run.split("-")[0]]], seed)
    return analyze(folder, RUNS, list(ARMS))


def contrasts(tables, arm):
    table = tables["alignment_contrast"]
    return table[table["arm"] == arm].set_index(["kind", "shape"])


def test_every_pair_is_there_with_its_null(tables):
    pairs = tables["alignment_pairs"]
    assert list(pairs.columns) == ["arm", *alignment_tables.PAIR_COLUMNS]
    # Four steps: three adjacent, one further apart, three to the final one.
    timed = pairs["kind"].isin(OVER_TIME)
    assert timed.sum() == 4 * LAYERS * 3 * 7 * 2
    layers = LAYERS * (LAYERS - 1) // 2
    assert (pairs["kind"] == "across_layers").sum() == 4 * 4 * 3 * layers * 2
    assert (pairs["kind"] == "across_seeds").sum() == 2 * 4 * LAYERS * 3 * 2
    used = pairs[pairs["used"]]
    assert used[["null", "null_sd", "z"]].notna().all(axis=None)
    z = (used["cosine"] - used["null"]) / used["null_sd"]
    np.testing.assert_allclose(used["z"], z)


def test_means_over_matrices_agree_with_their_pairs(tables):
    table, pairs = tables["alignment"], tables["alignment_pairs"]
    assert list(table.columns) == ["arm", *alignment_tables.ALIGNMENT_COLUMNS]
    assert table["n"].sum() == len(pairs) and table["used"].sum() == pairs["used"].sum()
    where = "run == 'left-seed1' and kind == 'adjacent' and module == 'k_proj'"
    where += " and step == 4 and side == 'left'"
    (row,) = table.query(where).to_dict("records")
    own = pairs.query(where)
    assert row["cosine"] == pytest.approx(own["cosine"].mean(), rel=1e-5)
    assert row["z"] == pytest.approx(own["z"].mean(), rel=1e-4)
    assert row["low"] < row["cosine"] < row["high"] and row["shape"] == "wide"


def test_walks_prefer_no_side_where_matrices_are_square(tables):
    found = contrasts(tables, "full").xs("square", level="shape")
    assert set(found.index) == {*OVER_TIME, "across_layers", "across_seeds"}
    assert (found["z"].abs() < 0.5).all()
    assert ((found["z_low"] < 0) & (0 < found["z_high"])).sum() >= 4


def test_vectors_that_align_on_the_left_alone_are_found_in_every_shape(tables):
    found = contrasts(tables, "left").loc[ADJACENT]
    assert set(found.index) == {"square", "tall", "wide"}
    assert (found["low"] > 0.5).all() and (found["z_low"] > 1).all()


def test_the_contrast_is_beside_that_of_surrogates(tables):
    found = contrasts(tables, "left").loc[ADJACENT]
    pairs = tables["alignment_pairs"]
    own = pairs[(pairs["kind"] == ADJACENT) & pairs["run"].isin(RUNS[2:])]
    assert own.loc[own["step"] > STEPS[0], "shuffled"].notna().all()
    assert own.loc[own["step"] == STEPS[0], "shuffled"].isna().all()
    np.testing.assert_allclose(found["shuffled"], found["beyond"], rtol=1e-5)
    assert (found["beyond_low"] > 0.2).all()


def test_what_one_side_has_in_time_the_layers_do_not_share(tables):
    found = contrasts(tables, "left").loc["across_layers"]
    assert (found["z"].abs() < 0.5).all()


def test_the_trajectories_of_all_runs_are_summed_up(tables):
    table = tables["trajectory"]
    assert list(table["run"].unique()) == ["full-seed0", "full-seed1", "all", *RUNS[2:]]
    assert table.groupby("arm")["n"].apply(list).to_dict() == {
        arm: [LAYERS, LAYERS, 2 * LAYERS] for arm in ARMS
    }
    assert (table[["value", "low", "high"]] == 0.9).all(axis=None)
    assert (table["null_low"] == 0.94).all()


def test_a_run_without_measured_updates_has_empty_tables_with_their_columns(tmp_path):
    origin = {"run": "full-seed0"}
    save_directions(tmp_path / "full-seed0.directions.safetensors", {}, origin)
    write_table(
        pd.DataFrame(columns=trajectory.MATRIX_COLUMNS), tmp_path / "full-seed0.parquet"
    )
    write_table(
        pd.DataFrame(columns=trajectory.GRAM_COLUMNS),
        tmp_path / "full-seed0.gram.parquet",
    )
    write_table(
        pd.DataFrame(columns=alignment_tables.SHUFFLED_COLUMNS),
        tmp_path / "full-seed0.shuffled.parquet",
    )
    tables = analyze(tmp_path, ["full-seed0"], ["full"])
    assert all(table.empty for table in tables.values())
    assert list(tables["alignment"]) == ["arm", *alignment_tables.ALIGNMENT_COLUMNS]
    assert "z_low" in tables["alignment_contrast"]


# The null


def gram_table(gram, steps):
    return pd.DataFrame(gram, index=steps, columns=steps)


def test_the_correlation_at_other_steps_is_that_of_the_fitted_walk():
    exported, steps = (5, 10, 15, 20), (5, 8, 10, 20)
    wanted = {"rho": 0.4, "drift_snr": 0.8}
    grams = [
        gram_table(scale * expected_gram(exported, **wanted), exported)
        for scale in (1.0, 50.0)
    ]
    still = gram_table(np.zeros((4, 4)), exported)
    found = correlation([*grams, still], steps)
    expected = as_correlation(expected_gram(steps, **wanted))
    np.testing.assert_allclose(found, expected, atol=1e-3)


@pytest.mark.parametrize("exported", [(20,), (10, 20)])
def test_too_few_exported_steps_leave_a_plain_walk(exported):
    grams = [gram_table(expected_gram(exported, drift_snr=3.0), exported)]
    found = correlation(grams, STEPS)
    np.testing.assert_allclose(found, as_correlation(expected_gram(STEPS)))


def test_runs_share_a_null_where_arm_steps_and_correlation_agree():
    def make(run, rho=0.0, steps=STEPS):
        return SimulatedWalk(
            run, (4, 4), steps, as_correlation(expected_gram(steps, rho)), 0.5
        )

    one, same = make("full-seed0"), make("full-seed1", 0.01)
    others = make("full-seed2", 0.9), make("prs-seed0"), make("full-seed3", 0, (1, 2))
    groups = shared([one, *others, same])
    assert [len(group) for group in groups] == [2, 1, 1, 1] and groups[0] == [one, same]


def test_the_strength_of_the_first_triplet_is_the_measured_one():
    names = [f"model.layers.{i}.mlp.up_proj.weight" for i in range(9)]
    run = {
        step: {
            name: random_walk(90, 60, np.eye(1), generator(i + 10 * step), strength)[0]
            for i, name in enumerate(names)
        }
        for step, strength in ((1, 0.5), (2, 0.8))
    }
    found = alignment_tables.spikes(run, names, (90, 60))
    assert found == pytest.approx([0.5, 0.8], abs=0.03)
