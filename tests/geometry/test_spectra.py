"""Spectra of a step beside their nulls: objects, draws, pooled p-values, tables."""

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import save_file

from rankone.claims.simulated import weights
from rankone.claims.simulated.effects import power_law
from rankone.claims.simulated.weights import WeightScenario
from rankone.geometry import spectra
from rankone.geometry import tables as geometry
from rankone.linalg.spectral_measures import spectral_statistics
from rankone.weights.checkpoints import index, read


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Made-up weights whose update has a heavy tail, on disk."""
    folder = tmp_path_factory.mktemp("weights")
    plan = WeightScenario(effect=power_law, strength=0.7)
    made = {n: weights.make_matrix(plan, n, 0) for n in weights.names()[::3]}
    save_file({n: base for n, (base, _) in made.items()}, folder / "base.safetensors")
    save_file({n: ends[0] for n, (_, ends) in made.items()}, folder / "end.safetensors")
    return index([folder / "base.safetensors"]), index([folder / "end.safetensors"])


@pytest.fixture(scope="module")
def tables(files):
    base, trained = files
    return spectra.examine(base, {}, 2, 0, "base"), spectra.examine(
        base, trained, 2, 3, "run"
    )


def test_the_objects_are_the_weights_the_update_and_its_rounded_view(tmp_path):
    save_file({"w": torch.ones(2, 3)}, tmp_path / "base.safetensors")
    save_file({"w": torch.full((2, 3), 1.001)}, tmp_path / "end.safetensors")
    base, end = (index([tmp_path / f"{n}.safetensors"]) for n in ("base", "end"))
    assert list(spectra.objects(base, {}, "w")) == ["base"]
    found = spectra.objects(base, end, "w")
    assert list(found) == ["trained", "update", "update_bfloat16"]
    torch.testing.assert_close(found["update"], torch.full((2, 3), 0.001))
    assert not found["update_bfloat16"].any()


def test_every_matrix_and_object_has_a_row_that_is_the_matrix_alone(files, tables):
    base, trained = files
    values = tables[1]["values"]
    assert len(values) == 3 * len(base) and len(tables[0]["values"]) == len(base)
    row = values[values["object"] == "trained"].iloc[0]
    expected = spectral_statistics(
        spectra.values(read(trained, row["tensor"])),
        *read(trained, row["tensor"]).shape,
    )
    for name in spectra.COMPARED:
        assert row[name] == pytest.approx(expected[name], nan_ok=True)
    assert values["fit_p"].between(0, 1).all()


def test_each_object_has_its_own_nulls_and_a_shape_shares_the_gaussian(tables):
    draws = tables[1]["draws"]
    found = {kind: set(rows["null"]) for kind, rows in draws.groupby("object")}
    assert found == {
        "trained": {"scale_matched", "perturbed"},
        "update": {"scale_matched", "shuffled", "sign_flipped", "gaussian"},
        "update_bfloat16": {"rounded"},
    }
    shared = draws[draws["null"] == "gaussian"]
    assert set(shared["tensor"]) == {""}
    assert (shared.groupby("shape").size() == 2 * spectra.SHARED).all()
    assert tables[0]["draws"].empty


def test_the_same_step_has_the_same_draws_again(files, tables):
    again = spectra.examine(*files, 2, 3, "run")
    for name, table in tables[1].items():
        pd.testing.assert_frame_equal(again[name], table)


def test_a_heavy_tail_is_below_its_null_and_noise_is_not(tables):
    values = pd.concat(
        [
            tables[0]["values"].assign(run="base", step=0),
            tables[1]["values"].assign(run="full-seed0", step=1),
        ]
    )
    matrices = geometry.beside_nulls(values, tables[1]["draws"])
    table = geometry.tails_table(matrices, 0, 500).set_index(
        ["run", "object", "null", "statistic"]
    )
    planted = table.loc["full-seed0", "update", "scale_matched", "hill_alpha"]
    assert planted["high"] < 0 and planted["n"] == 10
    untouched = table.loc["full-seed0", "trained", "perturbed", "hill_alpha"]
    assert abs(untouched["difference"]) < 0.02


def test_trained_weights_are_paired_with_their_own_base(tables):
    values = pd.concat(
        [tables[0]["values"].assign(run="base", step=0)]
        + [tables[1]["values"].assign(run="r", step=1)]
    )
    found = geometry.beside_base(values).set_index(["tensor", "statistic"])
    base = tables[0]["values"].set_index("tensor")
    for (tensor, statistic), row in found.iterrows():
        assert row["null_mean"] == pytest.approx(
            base.loc[tensor, statistic], nan_ok=True
        )


def test_pooled_p_is_uniform_where_the_null_is_true():
    """Two draws a matrix, 40 matrices of one shape, each with a level of its own."""
    rng, low = np.random.default_rng(0), []
    keys = {"object": "update", "shape": "4x4", "layer": 0, "module": "q_proj"}
    for _ in range(40):
        levels = rng.normal(size=40)
        names = [f"m{i}" for i in range(40)]
        flat = {name: 0.0 for name in spectra.COMPARED}
        values = pd.DataFrame({"tensor": names, "run": "r", "step": 1} | flat | keys)
        values["hill_alpha"] = levels + rng.normal(size=40)
        draws = pd.concat(
            [
                pd.DataFrame(
                    {"tensor": names, "null": "n", "draw": i} | flat | keys
                ).assign(hill_alpha=levels + rng.normal(size=40))
                for i in range(2)
            ]
        )
        found = geometry.beside_nulls(values, draws)
        low.append((found.loc[found["statistic"] == "hill_alpha", "p"] <= 0.1).mean())
    assert np.mean(low) == pytest.approx(0.1, abs=0.025)


def test_hill_paths_and_curves_are_kept(tables):
    paths, curves = tables[1]["paths"], tables[1]["curves"]
    assert paths["share"].between(0, 1).all() and (paths["alpha"] > 1).all()
    assert curves["layer"].nunique() == 1
    assert {"", "scale_matched"} <= set(
        curves.loc[curves["object"] == "update", "null"]
    )
