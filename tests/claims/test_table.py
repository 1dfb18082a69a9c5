"""The table of claims: what is in it, in which order, and what is left out."""

import pandas as pd
import pytest

from conftest import ROOT
from rankone.claims.calibration import identities
from rankone.claims.claim import CLAIMS
from rankone.claims.study_tables import StudyTables
from rankone.claims.table import claims_table

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
OVERFITTING = {
    "arm": "prs",
    "quantity": "overfitting",
    "role": "treatment",
    "moment": "after",
    "sampling": "sampled",
    "test": "held_out",
    "value": 0.1,
    "low": 0.05,
    "high": 0.15,
    "n": 100,
    "verdict": "supported",
    "rule": "a rule",
}


def calibrated(rate=0.0, low=0.0, high=0.02, rules=None):
    rows = [
        {"claim": name, "scenario": "noise", "strength": 0.0, "rate": rate}
        | {"low": low, "high": high, "n": 200, "rules": rules or own}
        for name, own in identities().items()
    ]
    return pd.DataFrame(rows)


def table(*rows, arm="full", calibration=None):
    study = StudyTables({"tails": pd.DataFrame(rows or [TAILS])})
    known = calibrated() if calibration is None else calibration
    return claims_table(study, arm, known)


def test_a_row_has_the_texts_and_the_identity_of_its_claim():
    (row,) = table().to_dict("records")
    claim = CLAIMS["updates_heavy_tailed"]
    assert (row["claim"], row["source"]) == (claim.name, claim.source)
    assert (row["margin"], row["unit"]) == (claim.margin, claim.unit)
    assert (row["effect"], row["verdict"]) == (2.0, "supported")
    assert row["rules"] == identities()[claim.name]


def test_rows_are_in_the_order_of_the_claims():
    trained = TAILS | {"object": "trained"}
    perturbed = trained | {"null": "perturbed"}
    found = table(perturbed, TAILS, trained)["claim"]
    assert list(found) == [
        *("weights_heavy_tailed", "training_makes_tails", "updates_heavy_tailed")
    ]


def test_a_claim_is_about_the_first_arm_unless_it_is_about_all():
    assert table(arm="another").empty
    study = StudyTables({"overfitting": pd.DataFrame([OVERFITTING])})
    (row,) = claims_table(study, "full", calibrated()).to_dict("records")
    assert (row["claim"], row["subject"]) == ("implicit_overfitting", "prs")


def test_rows_say_of_the_runs_behind_them_that_other_code_made_them():
    tables = {
        "tails": pd.DataFrame([TAILS]),
        "overfitting": pd.DataFrame([OVERFITTING]),
    }
    code = {"full-seed0": "made by other code", "prs-seed0": "mixed code"}
    found = claims_table(StudyTables(tables, code=code), "full", calibrated())
    assert dict(found[["claim", "code"]].to_numpy()) == {
        "updates_heavy_tailed": "made by other code",
        "implicit_overfitting": "made by other code, mixed code",
    }
    assert set(table()["code"]) == {""}


def test_a_claim_that_was_not_measured_is_left_out():
    assert claims_table(StudyTables(), "full", calibrated()).empty


@pytest.mark.parametrize(
    "calibration",
    [calibrated(rules="other rules"), calibrated(rate=0.1, low=0.06, high=0.15)],
)
def test_a_claim_without_a_valid_calibration_is_left_out(calibration):
    assert len(table()) == 1
    assert table(calibration=calibration).empty


def test_the_worst_scenario_counts():
    bad = calibrated(rate=0.2, low=0.1, high=0.3).assign(scenario="another")
    assert table(calibration=pd.concat([calibrated(), bad])).empty


def test_the_calibration_is_that_of_the_present_claims():
    path = ROOT / "workflow" / "resources" / "calibration.tsv"
    found = pd.read_csv(path, sep="\t")
    pairs = set(zip(found["claim"], found["rules"], strict=True))
    assert pairs == set(identities().items())
    assert (found.loc[found["strength"] == 0, "n"] >= 100).all()
