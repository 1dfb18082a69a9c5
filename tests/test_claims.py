"""Claims: evidence from tables, verdicts, and what is left out."""

import pandas as pd
import pytest

import synthetic
from conftest import ROOT
from rankone import calibration, claims, made_answers, tables, verdicts
from rankone.claims import CLAIMS, HELD_OUT, KNOWLEDGE
from rankone.files import sha256
from rankone.statistics import Estimate

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
    assert names == set(verdicts.MARGINS)
    scenarios = calibration.scenarios()
    false = {c for s in scenarios if not s.strengths for c in s.claims}
    true = {c for s in scenarios if s.strengths for c in s.claims}
    assert false == true == names


def test_a_lower_exponent_than_the_null_speaks_for_heavy_tails():
    (found,) = evidence("updates_heavy_tailed", {"tails": pd.DataFrame([TAILS])})
    assert found.effect == Estimate(2.0, 1.8, 2.2)
    assert found.verdict.word == verdicts.SUPPORTED


@pytest.mark.parametrize(
    ("value", "effect", "word"),
    [
        (0.9, 0.0, verdicts.NULL_COMPATIBLE),  # between a walk and one with momentum
        (0.96, 0.01, verdicts.NULL_COMPATIBLE),  # too little above both
        (0.99, 0.04, verdicts.SUPPORTED),
        (0.7, -0.1, verdicts.CONTRADICTED),
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
    assert found.verdict.word == verdicts.UNDETERMINED
    assert found.verdict.rule == "2 layers are too few, 5 needed"


def test_a_claim_that_was_not_measured_is_left_out():
    assert all(claim.measure({}) == [] for claim in CLAIMS)
    assert claims.claims_table({}, calibrated(), "x").empty


@pytest.mark.parametrize(
    "calibration",
    [calibrated(rules="other rules"), calibrated(rate=0.1, low=0.06, high=0.15)],
)
def test_a_claim_without_a_valid_calibration_is_left_out(calibration):
    found = {"tails": pd.DataFrame([TAILS])}
    assert len(claims.claims_table(found, calibrated(), "x")) == 1
    assert claims.claims_table(found, calibration, "x").empty


def test_the_worst_scenario_counts():
    good, bad = calibrated(), calibrated(rate=0.2, low=0.1, high=0.3)
    both = pd.concat([good, bad.assign(scenario="another")])
    assert claims.claims_table({"tails": pd.DataFrame([TAILS])}, both, "x").empty


def test_rank1_must_gain_more_than_its_controls():
    better = made_answers.gains(0.4, 0.1, seed=0)
    alike = made_answers.gains(0.3, 0.3, seed=0)
    (first,), (second,) = (
        evidence("rank1_carries_the_gain", tables) for tables in (better, alike)
    )
    assert first.verdict.word == verdicts.SUPPORTED
    assert second.verdict.word != verdicts.SUPPORTED


def test_knowledge_is_spared_only_if_the_controls_damage_it():
    spared = made_answers.kept("rank1", KNOWLEDGE, 0.0, 0.3, seed=0)
    same = made_answers.kept("rank1", KNOWLEDGE, 0.0, 0.0, seed=0)
    (first,), (second,) = (
        evidence("rank1_spares_knowledge", tables) for tables in (spared, same)
    )
    assert first.verdict.word == verdicts.SUPPORTED
    assert second.verdict.word == verdicts.NULL_COMPATIBLE


def test_cells_are_those_of_the_first_arm_at_its_last_step(tmp_path):
    paths = synthetic.write_evaluations(tmp_path, ["full-seed0", "full-seed1"], [2, 4])
    items = tables.read_items(paths)
    found = claims.last_scores(items, "full", 0, 500)
    cell = found[HELD_OUT]
    assert cell.has("full", "rank1", "without_rank1")
    assert cell.mean("base") == pytest.approx(0.3)
    assert cell.difference("full", "base").value == pytest.approx(0.4)


def test_a_crossing_needs_more_than_one_answer():
    made = made_answers.samples(0.3, 0.2, seed=0)
    (found,) = evidence("base_overtakes", made)
    assert found.effect.value > 0 and found.subject == "k = 64"
    single = {"pass_at_k": made["pass_at_k"].query("k == 1")}
    assert evidence("base_overtakes", single) == []


def test_the_calibration_in_the_docs_is_that_of_the_present_rules():
    table = pd.read_csv(ROOT / "docs" / "calibration.tsv", sep="\t")
    assert set(table["rules"]) == {sha256(verdicts.__file__)}
    assert set(table["claim"]) == {claim.name for claim in CLAIMS}
    assert (table.loc[table["strength"] == 0, "n"] >= 100).all()
