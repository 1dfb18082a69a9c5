"""Calibration: made-up studies give verdicts through the code of real ones."""

import numpy as np
import pandas as pd
import pytest
import torch

from rankone.claims import (
    calibration,
    synthetic_answers,
    synthetic_trajectories,
    synthetic_weights,
)
from rankone.claims.synthetic_trajectories import WalkScenario
from rankone.claims.synthetic_weights import WeightScenario
from rankone.statistics import decision_rules


def scenario(name):
    return next(each for each in calibration.scenarios() if each.name == name)


def words(name, strength=0.0, seed=0):
    rows = calibration.outcomes(scenario(name), strength, seed)
    return {row["claim"]: row["verdict"] for row in rows}


@pytest.mark.parametrize(
    "name",
    [
        "noise",
        "noise stored in bfloat16",
        "walk",
        "an unchanged model",
        "all arms lose alike",
        "controls gain as much",
        "rank 1 loses the margin",
        "answers as likely as before",
        "forgetting follows the KL",
    ],
)
def test_every_claim_of_a_scenario_gets_a_verdict(name):
    found = words(name)
    assert set(found) == set(scenario(name).claims)
    known = {decision_rules.SUPPORTED, decision_rules.CONTRADICTED}
    known |= {decision_rules.NULL_COMPATIBLE, decision_rules.UNDETERMINED}
    assert set(found.values()) <= known


@pytest.mark.parametrize(
    ("name", "strength"),
    [
        ("power law", 0.95),
        ("striped", 0.95),
        ("left vectors stay", 0.7),
        ("better rates", 0.2),
        ("problems are lost", 0.3),
        ("likelier answers", 0.2),
        ("rank 1 gains more than its controls", 0.3),
        ("training problems lose more", 0.2),
    ],
)
def test_a_strong_effect_is_supported(name, strength):
    assert set(words(name, strength).values()) == {decision_rules.SUPPORTED}


def test_made_up_weights_have_the_effect_and_nothing_else():
    name = synthetic_weights.names()[0]
    base, (first, second) = synthetic_weights.make_matrix(
        WeightScenario(), name, seed=0
    )
    assert base.norm() == pytest.approx(1, rel=1e-5)
    assert (first - base).norm() == pytest.approx(synthetic_weights.SIZE, rel=1e-3)
    assert not torch.equal(first, second)
    plan = WeightScenario(effect=synthetic_weights.spike, strength=0.9)
    _, (end, _) = synthetic_weights.make_matrix(plan, name, seed=0)
    sigma = torch.linalg.svdvals(end - base)
    assert sigma[0] / sigma.norm() == pytest.approx(0.9, abs=0.1)


def test_turned_weights_keep_their_singular_values():
    base = synthetic_weights.make_matrix(
        WeightScenario(), synthetic_weights.names()[0], seed=0
    )[0]
    change = synthetic_weights.turned(base, torch.Generator().manual_seed(0))
    moved = torch.linalg.svdvals(base + 1e-4 * change / change.norm())
    assert (moved - torch.linalg.svdvals(base)).norm() < 1e-6


def test_made_up_walks_have_their_gram_matrix():
    name = synthetic_trajectories.names()[0]
    found = synthetic_trajectories.updates(WalkScenario(), name, "full-seed0", seed=0)
    squares = found.flatten(1).square().sum(1).numpy()
    steps = np.array(synthetic_trajectories.STEPS)
    np.testing.assert_allclose(squares / squares[-1], steps / steps[-1], rtol=0.1)


def test_made_up_answers_have_their_accuracy():
    rng = np.random.default_rng(0)
    base = (rng.random(20_000) < 0.4).astype(float)
    found = synthetic_answers.answers(base, (0.4, 0.55), rng)
    assert found.mean() == pytest.approx(0.55, abs=0.02)
    assert np.corrcoef(base, found)[0, 1] > 0.4


def test_rates_count_false_verdicts_where_there_is_no_effect_and_support_elsewhere():
    rows = [
        {"claim": "striped", "scenario": s, "strength": x, "seed": i, "verdict": v}
        for s, x, found in (
            (
                "noise",
                0.0,
                ["supported", "contradicted", "undetermined", "undetermined"],
            ),
            (
                "striped",
                0.5,
                ["supported", "contradicted", "supported", "undetermined"],
            ),
        )
        for i, v in enumerate(found)
    ]
    table = calibration.rates(pd.DataFrame(rows), "hash")
    assert table["rate"].tolist() == [0.5, 0.5]
    assert table["n"].tolist() == [4, 4] and set(table["rules"]) == {"hash"}
    one_sided = pd.DataFrame(rows).assign(claim="coefficient_predicts")
    assert calibration.rates(one_sided, "hash")["rate"].tolist() == [0.25, 0.5]
