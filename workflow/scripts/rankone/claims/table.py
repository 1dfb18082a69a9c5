"""The table of claims: those that a study measured and whose test is calibrated."""

from collections.abc import Mapping

import pandas as pd

from rankone.claims.calibration import identities
from rankone.claims.claim import CLAIMS, Claim, Evidence
from rankone.claims.study_tables import StudyTables
from rankone.statistics.decision_rules import power

COLUMNS = [
    *("claim", "source", "statement", "estimator", "null", "subject"),
    *("value", "null_value", "effect", "low", "high", "n", "unit"),
    *("margin", "power", "verdict", "rule"),
    *("false_positives", "false_positives_low", "false_positives_high", "rules"),
    "code",
]
# A claim is reported if false verdicts on it are no more frequent, with their interval.
FALSE_POSITIVES = 0.05


def claims_table(
    study: StudyTables, arm: str, calibration: pd.DataFrame
) -> pd.DataFrame:
    """One row (COLUMNS) a claim and subject that the study measured.

    `arm` is the first one, which claims are about. `calibration` has rows of
    calibration.rates(). A claim that is not in it under its present identity, or whose
    rate of false verdicts is above FALSE_POSITIVES with its interval, is left out.
    `code` is empty where the code that is there now made the runs.
    """
    rules, first = identities(), study.of_arm(arm)
    calibrated = worst_rates(calibration, rules)
    calibrated = calibrated[calibrated["low"] <= FALSE_POSITIVES]
    rows = [
        row(claim, evidence, calibrated.loc[name])
        | {"rules": rules[name], "code": ", ".join(sorted(set(tested.code.values())))}
        for name, claim in CLAIMS.items()
        if name in calibrated.index
        for tested in [study if claim.all_arms else first]
        for evidence in claim.evidence(tested)
    ]
    return pd.DataFrame(rows, columns=COLUMNS)


def worst_rates(calibration: pd.DataFrame, rules: Mapping[str, str]) -> pd.DataFrame:
    """Of each claim the scenario with the most false verdicts, by claim.

    Only rows whose `rules` are those of the claim in `rules` count.
    """
    valid = calibration["rules"] == calibration["claim"].map(rules)
    false = calibration[valid & (calibration["strength"] == 0)].reset_index()
    worst = false.loc[false.groupby("claim")["rate"].idxmax()]
    return worst.set_index("claim")


def row(claim: Claim, evidence: Evidence, calibrated: pd.Series) -> dict:
    """One row of the claims table."""
    texts = ("source", "statement", "estimator", "null", "unit", "margin")
    found = {"claim": claim.name} | {text: getattr(claim, text) for text in texts}
    effect = evidence.effect
    found |= {"subject": evidence.subject, "value": evidence.value}
    found |= {"null_value": evidence.null_value, "effect": effect.value}
    found |= {"low": effect.low, "high": effect.high, "n": evidence.n}
    found |= {"power": power(effect, claim.margin)}
    found |= {"verdict": evidence.verdict.label, "rule": evidence.verdict.rule}
    found["false_positives"] = calibrated["rate"]
    found["false_positives_low"] = calibrated["low"]
    found["false_positives_high"] = calibrated["high"]
    return found
