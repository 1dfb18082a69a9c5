"""Estimands of implicit reward overfitting: planted truth is found, noise is not."""

import functools
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from rankone.analysis.reward_overfitting import (
    contrast,
    last_moments,
    overfitting_table,
    probe_table,
    rewards,
    substitution_table,
    with_rewards,
)
from rankone.linalg.svd import leading
from rankone.report.figure import draw
from rankone.statistics.decision_rules import CONTRADICTED, NULL_COMPATIBLE, SUPPORTED
from rankone.tables_io import with_arms
from rankone.training.measurement import gather_updates
from rankone.variants.apply import MatrixUpdate, change
from rankone.variants.grammar import parse
from synthetic import update_rows

ARMS = {"full": None, "prs": "rank1", "shrunk": "shrunk"}
SIZE, PROBLEMS, SEEDS, STEPS = 24, 64, 3, (2, 4, 6)


@functools.cache
def update_of(recipe: str | None, step: int) -> torch.Tensor:
    """What a recipe makes of an update along two directions, by gradient flow."""
    update = torch.diag(torch.tensor([1.0, 0.9] + [0.0] * (SIZE - 2)))
    update = update * (1 - np.exp(-step / 3))
    if not (recipe and step):
        return update
    whole = MatrixUpdate(leading(update, 1), lambda: update, 0, "w")
    return change(parse(recipe), whole)


def toy(memorised: float, seed: int) -> pd.DataFrame:
    """Probes of a quadratic problem with known directions, trained by gradient flow.

    The first direction of the update, the larger one, helps on all problems; the second
    helps on training problems only, by `memorised`. Arms end with what their recipe
    makes of the update.
    """
    rng = np.random.default_rng(seed)
    ease = {
        split: rng.normal(-1, 0.5, PROBLEMS) for split in ("held_out", "train_probe")
    }
    names = {split: [f"{split}{i}" for i in range(PROBLEMS)] for split in ease}
    rows = []
    for run in range(SEEDS):
        for arm, recipe in ARMS.items():
            for step in (0, *STEPS):
                update = update_of(recipe, step)
                common = 3 * (update[0, 0]).item()
                gains = {
                    "held_out": common,
                    "train_probe": common + memorised * update[1, 1].item(),
                }
                moment = "after" if recipe and step else "step"
                for split, gain in gains.items():
                    chance = 1 / (1 + np.exp(-(ease[split] + gain)))
                    correct = rng.binomial(8, chance)
                    key = {"run": f"{arm}-seed{run}", "step": step, "moment": moment}
                    key |= {"split": split, "sampling": "sampled", "samples": 8}
                    problems = zip(names[split], correct, strict=True)
                    rows += [key | {"problem": p, "correct": c} for p, c in problems]
    return pd.DataFrame(rows)


def result(probes: pd.DataFrame, arm: str, quantity: str) -> pd.Series:
    table = overfitting_table(probes, ARMS, seed=0, draws=400)
    return table[(table["arm"] == arm) & (table["quantity"] == quantity)].iloc[0]


@pytest.fixture(scope="module")
def memorising():
    return toy(memorised=3.0, seed=1)


def test_planted_overfitting_is_found_and_its_size_is_right(memorising):
    row = result(memorising, "prs", "overfitting")
    last = {
        arm: memorising[
            memorising["run"].str.startswith(arm) & (memorising["step"] == STEPS[-1])
        ]
        for arm in ARMS
    }
    means = {
        arm: (t["correct"] / t["samples"]).groupby(t["split"]).mean()
        for arm, t in last.items()
    }
    lost = means["full"] - means["prs"]
    assert row["value"] == pytest.approx(lost["train_probe"] - lost["held_out"])
    assert row["low"] > 0.05


def test_no_overfitting_is_found_where_none_is_planted():
    row = result(toy(memorised=0.0, seed=2), "prs", "overfitting")
    assert row["low"] < 0 < row["high"]
    assert row["verdict"] not in {CONTRADICTED, "supported"}


def test_a_control_that_shows_the_same_takes_the_verdict_away(memorising):
    probes = memorising.copy()
    copied = probes[probes["run"].str.startswith("prs")].copy()
    copied["run"] = copied["run"].str.replace("prs", "shrunk")
    probes = pd.concat([probes[~probes["run"].str.startswith("shrunk")], copied])
    row = result(probes, "prs", "overfitting")
    assert row["low"] > 0 and row["verdict"] == NULL_COMPATIBLE
    assert "shrunk" in row["rule"]


def test_the_verdict_is_supported_where_controls_lose_both_alike(memorising):
    probes = memorising.copy()
    control = probes[probes["run"].str.startswith("full")].copy()
    control["run"] = control["run"].str.replace("full", "shrunk")
    control["moment"] = control["moment"].where(control["step"] == 0, "after")
    probes = pd.concat([probes[~probes["run"].str.startswith("shrunk")], control])
    assert result(probes, "prs", "overfitting")["verdict"] == SUPPORTED


def test_an_arm_that_only_learned_less_has_no_advantage_at_equal_reward():
    """The arm repeats earlier points of the reference's own curve."""
    probes = toy(memorised=1.0, seed=3)
    slow = probes[probes["run"].str.startswith("full") & (probes["step"] < 6)].copy()
    slow["run"] = slow["run"].str.replace("full", "prs")
    slow["moment"] = slow["moment"].where(slow["step"] == 0, "after")
    probes = pd.concat([probes[~probes["run"].str.startswith("prs")], slow])
    row = result(probes, "prs", "advantage_at_equal_reward")
    assert abs(row["value"]) < 1e-9


def test_a_memorising_reference_gives_the_arm_an_advantage(memorising):
    row = result(memorising, "prs", "advantage_at_equal_reward")
    assert row["low"] > 0


def test_the_ratio_is_undefined_without_a_gain_on_training_problems(memorising):
    probes = memorising.copy()
    start = probes[(probes["step"] == 0)].set_index(["run", "problem"])["correct"]
    prs = probes["run"].str.startswith("prs")
    keys = list(zip(probes.loc[prs, "run"], probes.loc[prs, "problem"], strict=True))
    probes.loc[prs, "correct"] = start.loc[keys].to_numpy()
    assert np.isnan(result(probes, "prs", "generalisation_ratio")["value"])


def test_no_false_alarms_on_pure_noise():
    """At most a few of forty studies without any effect find one."""
    alarms = 0
    for seed in range(40):
        probes = with_rewards(toy(0.0, seed=seed))
        last = [last_moments(probes, arm)[-1] for arm in ("full", "prs")]
        found = contrast(rewards(probes, last, "sampled"), "held_out", 0, draws=200)
        alarms += not found.overfitting.includes_zero
    assert alarms <= 6


def test_every_reward_has_an_interval_around_it(memorising):
    table = probe_table(memorising, seed=0, draws=200)
    assert (table["low"] <= table["reward"]).all()
    assert (table["reward"] <= table["high"]).all()
    pooled = table[table["run"] == "all"]
    assert set(pooled["runs"]) == {SEEDS}


def test_the_energy_that_a_substitution_removes_is_measured():
    places = [(1, "step"), (2, "before"), (2, "after"), (4, "before"), (4, "after")]
    metrics = pd.DataFrame({"run": "prs-seed0", "step": range(1, 5)})
    metrics["substitution_seconds"] = [0.0, 0.5, 0.0, 0.7]
    table = substitution_table(update_rows("prs-seed0", places), metrics)
    assert table["moment"].tolist() == [moment for _, moment in places]
    removed = table["energy_removed"]
    assert removed[table["moment"] == "after"].tolist() == [0.75, 0.75]
    assert removed[table["moment"] != "after"].isna().all()
    assert table["seconds"].dropna().tolist() == [0.5, 0.7]


def test_a_run_whose_updates_were_not_measured_has_an_empty_table():
    """Sharded training: no process has whole matrices."""
    empty = gather_updates(Path(), "full-seed0", [(0, "step")])
    metrics = pd.DataFrame({"run": ["full-seed0"], "step": 1})
    table = substitution_table(empty, metrics.assign(substitution_seconds=0.0))
    assert table.empty and "energy_removed" in table
    assert len(draw("substitutions", with_arms(table, ["full"])).axes) == 0
