"""Measures: evidence from tables and scores, and its verdicts."""

import pandas as pd
import pytest

from rankone.claims.claim import CLAIMS
from rankone.claims.rank1_carries_the_gain import gains
from rankone.claims.simulated.answers import kept, samples
from rankone.claims.study_tables import KNOWLEDGE_CELL, StudyTables
from rankone.statistics.decision_rules import (
    CONTRADICTED,
    NULL_COMPATIBLE,
    SUPPORTED,
    UNDETERMINED,
)
from rankone.statistics.intervals import Estimate

TAILS = {
    "run": "all",
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


def evidence(name, **tables):
    return CLAIMS[name].evidence(StudyTables(tables))


def test_a_lower_exponent_than_the_null_speaks_for_heavy_tails():
    (found,) = evidence("updates_heavy_tailed", tails=pd.DataFrame([TAILS]))
    assert found.effect == Estimate(2.0, 1.8, 2.2)
    assert found.verdict.label == SUPPORTED


def test_a_share_of_the_null_is_relative_to_it():
    row = TAILS | {"statistic": "spectrum_drift", "null": "chance", "view": "float32"}
    (found,) = evidence("spectrum_preserved", anatomy=pd.DataFrame([row]))
    assert found.effect.value == pytest.approx(2 / 4.5)


@pytest.mark.parametrize(
    ("value", "effect", "label"),
    [
        (0.9, 0.0, NULL_COMPATIBLE),  # between a walk and one with momentum
        (0.96, 0.01, NULL_COMPATIBLE),  # too little above both
        (0.99, 0.04, SUPPORTED),
        (0.7, -0.1, CONTRADICTED),
    ],
)
def test_a_trajectory_must_be_beyond_walks_with_and_without_momentum(
    value, effect, label
):
    row = {"run": "all", "statistic": "first_component_share", "n": 60, "layers": 6}
    row |= {"value": value, "low": value - 0.005, "high": value + 0.005}
    table = pd.DataFrame([row | {"null": 0.8, "momentum": 0.95}])
    (found,) = evidence("trajectory_beyond_walk", trajectory=table)
    assert found.effect.value == pytest.approx(effect)
    assert found.verdict.label == label


def test_few_layers_give_no_verdict():
    table = pd.DataFrame([TAILS | {"layers": 2}])
    (found,) = evidence("updates_heavy_tailed", tails=table)
    assert found.verdict.label == UNDETERMINED
    assert found.verdict.rule == "2 layers are too few, 5 needed"


def test_a_study_that_has_measured_nothing_has_no_evidence():
    assert all(claim.evidence(StudyTables()) == [] for claim in CLAIMS.values())
    tables = {name: pd.DataFrame() for c in CLAIMS.values() for name in c.tables}
    assert evidence("updates_heavy_tailed", **tables) == []
    assert evidence("pass_at_1_rises", **tables) == []


def test_rank1_must_gain_more_than_its_controls():
    claim = CLAIMS["rank1_carries_the_gain"]
    (better,) = claim.evidence(gains(0.3, seed=0, controls=0.1))
    (alike,) = claim.evidence(gains(0.0, seed=0, controls=0.3))
    assert better.verdict.label == SUPPORTED
    assert alike.verdict.label != SUPPORTED


def test_knowledge_is_spared_only_if_the_controls_damage_it():
    claim = CLAIMS["rank1_spares_knowledge"]
    spared = kept(0.3, seed=0, treated="rank1", cell=KNOWLEDGE_CELL)
    same = kept(0.0, seed=0, treated="rank1", cell=KNOWLEDGE_CELL)
    (first,), (second,) = claim.evidence(spared), claim.evidence(same)
    assert first.verdict.label == SUPPORTED
    assert second.verdict.label == NULL_COMPATIBLE


def test_a_crossing_needs_more_than_one_answer():
    table = samples(0.3, 0.2, seed=0).tables["pass_at_k"]
    (found,) = evidence("base_overtakes", pass_at_k=table)
    assert found.effect.value > 0 and found.subject == "k = 64"
    assert evidence("base_overtakes", pass_at_k=table.query("k == 1")) == []
