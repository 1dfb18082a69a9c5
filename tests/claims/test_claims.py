"""Claims: evidence from tables, verdicts, and what is left out."""

import pandas as pd
import pytest

import synthetic
from conftest import ROOT
from rankone.analysis import scores
from rankone.claims import calibration, registry, synthetic_answers
from rankone.claims.registry import CLAIMS, HELD_OUT_CELL, KNOWLEDGE_CELL
from rankone.files import sha256
from rankone.statistics import decision_rules
from rankone.statistics.intervals import Estimate

TAILS = {
    "arm": "full",
    "run": "all",
    "step": 1,
    "object": "update",
    "null": "scale_matched",
    "statistic": "hill_alpha",
    "value": 2.5,
    "null_value": 4.5,
    "difference": -2.0,
    "low": -2.2,
    "high": -1.8,
    "n": 60,
    "layers": 6,
}


def evidence(name, tables):
    (claim,) = (claim for claim in CLAIMS if claim.name == name)
    return claim.measure(tables)


def calibrated(rate=0.0, low=0.0, high=0.02, rules="x"):
    rows = [
        {"claim": c.name, "scenario": "noise", "strength": 0.0, "rate": rate}
        | {"low": low, "high": high, "n": 200, "rules": rules}
        for c in CLAIMS
    ]
    return pd.DataFrame(rows)


def test_every_claim_has_a_margin_and_a_scenario_that_is_false_and_one_that_is_true():
    names = {claim.name for claim in CLAIMS}
    assert names == set(decision_rules.MARGINS)
    scenarios = calibration.scenarios()
    false = {c for s in scenarios if not s.strengths for c in s.claims}
    true = {c for s in scenarios if s.strengths for c in s.claims}
    assert false == true == names


def test_a_lower_exponent_than_the_null_speaks_for_heavy_tails():
    (found,) = evidence("updates_heavy_tailed", {"tails": pd.DataFrame([TAILS])})
    assert found.effect == Estimate(2.0, 1.8, 2.2)
    assert found.verdict.word == decision_rules.SUPPORTED


@pytest.mark.parametrize(
    ("value", "effect", "word"),
    [
        (
            0.9,
            0.0,
            decision_rules.NULL_COMPATIBLE,
        ),  # between a walk and one with momentum
        (0.96, 0.01, decision_rules.NULL_COMPATIBLE),  # too little above both
        (0.99, 0.04, decision_rules.SUPPORTED),
        (0.7, -0.1, decision_rules.CONTRADICTED),
    ],
)
def test_a_trajectory_must_be_beyond_walks_with_and_without_momentum(
    value, effect, word
):
    row = {"arm": "full", "run": "all", "statistic": "first_component_share", "n": 60}
    row |= {"value": value, "low": value - 0.005, "high": value + 0.005, "layers": 6}
    table = pd.DataFrame([row | {"null": 0.8, "momentum": 0.95}])
    (found,) = evidence("trajectory_beyond_walk", {"trajectory": table})
    assert found.effect.value == pytest.approx(effect)
    assert found.verdict.word == word


def test_few_layers_give_no_verdict():
    table = pd.DataFrame([TAILS | {"layers": 2}])
    (found,) = evidence("updates_heavy_tailed", {"tails": table})
    assert found.verdict.word == decision_rules.UNDETERMINED
    assert found.verdict.rule == "2 layers are too few, 5 needed"


def test_a_claim_that_was_not_measured_is_left_out():
    assert all(claim.measure({}) == [] for claim in CLAIMS)
    assert registry.claims_table({}, calibrated(), "x").empty


@pytest.mark.parametrize(
    "calibration",
    [calibrated(rules="other rules"), calibrated(rate=0.1, low=0.06, high=0.15)],
)
def test_a_claim_without_a_valid_calibration_is_left_out(calibration):
    found = {"tails": pd.DataFrame([TAILS])}
    assert len(registry.claims_table(found, calibrated(), "x")) == 1
    assert registry.claims_table(found, calibration, "x").empty


def test_the_worst_scenario_counts():
    good, bad = calibrated(), calibrated(rate=0.2, low=0.1, high=0.3)
    both = pd.concat([good, bad.assign(scenario="another")])
    assert registry.claims_table({"tails": pd.DataFrame([TAILS])}, both, "x").empty


def test_rank1_must_gain_more_than_its_controls():
    better = synthetic_answers.gains(0.4, 0.1, seed=0)
    alike = synthetic_answers.gains(0.3, 0.3, seed=0)
    (first,), (second,) = (
        evidence("rank1_carries_the_gain", tables) for tables in (better, alike)
    )
    assert first.verdict.word == decision_rules.SUPPORTED
    assert second.verdict.word != decision_rules.SUPPORTED


def test_knowledge_is_spared_only_if_the_controls_damage_it():
    spared = synthetic_answers.kept("rank1", KNOWLEDGE_CELL, 0.0, 0.3, seed=0)
    same = synthetic_answers.kept("rank1", KNOWLEDGE_CELL, 0.0, 0.0, seed=0)
    (first,), (second,) = (
        evidence("rank1_spares_knowledge", tables) for tables in (spared, same)
    )
    assert first.verdict.word == decision_rules.SUPPORTED
    assert second.verdict.word == decision_rules.NULL_COMPATIBLE


def test_cells_are_those_of_the_first_arm_at_its_last_step(tmp_path):
    paths = synthetic.write_evaluations(tmp_path, ["full-seed0", "full-seed1"], [2, 4])
    items = scores.read_items(paths)
    found = registry.last_scores(items, "full", 0, 500)
    cell = found[HELD_OUT_CELL]
    assert cell.has("full", "rank1", "without_rank1")
    assert cell.mean("base") == pytest.approx(0.3)
    assert cell.difference("full", "base").value == pytest.approx(0.4)


def test_a_crossing_needs_more_than_one_answer():
    made = synthetic_answers.samples(0.3, 0.2, seed=0)
    (found,) = evidence("base_overtakes", made)
    assert found.effect.value > 0 and found.subject == "k = 64"
    single = {"pass_at_k": made["pass_at_k"].query("k == 1")}
    assert evidence("base_overtakes", single) == []


def test_the_calibration_in_the_docs_is_that_of_the_present_rules():
    table = pd.read_csv(ROOT / "docs" / "calibration.tsv", sep="\t")
    assert set(table["rules"]) == {sha256(decision_rules.__file__)}
    assert set(table["claim"]) == {claim.name for claim in CLAIMS}
    assert (table.loc[table["strength"] == 0, "n"] >= 100).all()
