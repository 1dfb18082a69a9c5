"""Calibration: what the verdicts say of simulated studies whose truth is known.

Each claim has scenarios in which it is false by construction, and one in which it is
true to a degree. Simulated weights, answers and trajectories go through the same code
as measured ones, up to the verdict. A false verdict is `supported` or `contradicted`
where there is no effect; for equivalence, `supported` where the difference is the
margin.

A calibration belongs to one claim: to its margin, and to the code of its measure, its
decision rule and its scenarios. What else changes leaves it valid.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from functools import cache

import pandas as pd

from rankone import identity
from rankone.claims.claim import CLAIMS, Claim, Scenario
from rankone.errors import UserError
from rankone.files import digest
from rankone.statistics.decision_rules import CONTRADICTED, SUPPORTED
from rankone.statistics.intervals import Estimate, wilson

OUTCOMES = ["claim", "scenario", "strength", "seed", "verdict"]
RATE_COLUMNS = [*("claim", "scenario", "strength", "rate", "low", "high", "n", "rules")]


def identities() -> dict[str, str]:
    """Of every claim what its calibration depends on, as one digest; without torch."""
    return {name: claim_identity(claim) for name, claim in CLAIMS.items()}


@cache
def claim_identity(claim: Claim) -> str:
    """Digest of a claim's test: numbers, code of its measure, and its scenarios."""
    test = {name: getattr(claim, name) for name in ("margin", "one_sided", "tables")}
    test["measure"] = identity.code(claim.measure)
    test["scenarios"] = [scenario_identity(each) for each in claim.scenarios]
    return digest(test | {"rates": identity.code(false_or_supported)})


@cache
def scenario_identity(scenario: Scenario) -> list:
    """What a scenario's studies depend on."""
    return [scenario.name, scenario.strengths, identity.code(scenario.make)]


@dataclass(frozen=True)
class SimulatedStudy:
    """One study of a scenario, and the claims that are tested on it."""

    claims: tuple[str, ...]
    scenario: str
    strength: float
    seed: int


def simulated_studies(
    claims: Iterable[Claim], nulls: int, effects: int
) -> list[SimulatedStudy]:
    """So many studies of every null scenario, and of every strength of an effect."""
    sharing: dict[Scenario, list[str]] = {}
    for claim in claims:
        for scenario in claim.scenarios:
            sharing.setdefault(scenario, []).append(claim.name)
    return [
        SimulatedStudy(tuple(names), scenario.name, strength, seed)
        for scenario, names in sharing.items()
        for strength in scenario.strengths or (0.0,)
        for seed in range(effects if scenario.strengths else nulls)
    ]


def outcomes(study: SimulatedStudy) -> list[dict]:
    """The verdict on every claim of one simulated study: rows with OUTCOMES."""
    claims = [CLAIMS[name] for name in study.claims]
    (scenario,) = (s for s in claims[0].scenarios if s.name == study.scenario)
    found = scenario.make(study.strength, study.seed)
    cell = {"scenario": scenario.name, "strength": study.strength, "seed": study.seed}
    return [
        {"claim": claim.name, **cell, "verdict": evidence.verdict.label}
        for claim in claims
        for evidence in claim.evidence(found)
    ]


def false_or_supported(
    verdicts: Collection[str], strength: float, one_sided: bool
) -> Estimate:
    """Rate of false verdicts at strength 0, of `supported` beyond it (the power)."""
    both_count = not strength and not one_sided
    counted = (SUPPORTED, CONTRADICTED) if both_count else (SUPPORTED,)
    share = sum(verdict in counted for verdict in verdicts) / len(verdicts)
    return wilson(share, len(verdicts))


def rates(found: pd.DataFrame) -> pd.DataFrame:
    """One row (RATE_COLUMNS) a claim, scenario and strength, from rows of outcomes().

    The rate has Wilson's interval; `rules` is the identity of the claim.
    """
    rows = []
    for key, cell in found.groupby(["claim", "scenario", "strength"], sort=False):
        claim, _, strength = key
        one_sided = CLAIMS[claim].one_sided
        rate = false_or_supported(list(cell["verdict"]), strength, one_sided)
        row = dict(zip(("claim", "scenario", "strength"), key, strict=True))
        row |= {"rate": rate.value, "low": rate.low, "high": rate.high, "n": len(cell)}
        rows.append(row | {"rules": claim_identity(CLAIMS[claim])})
    return pd.DataFrame(rows, columns=RATE_COLUMNS)


def uncalibrated(calibration: pd.DataFrame) -> list[Claim]:
    """The claims that have no rows under their present identity."""
    valid = set(zip(calibration["claim"], calibration["rules"], strict=True))
    missing = identities().items() - valid
    return [claim for name, claim in CLAIMS.items() if name in dict(missing)]


def replaced(calibration: pd.DataFrame, new: pd.DataFrame) -> pd.DataFrame:
    """The calibration with the rows of the claims in `new` instead of their old ones.

    Rows are in the order of the claims; those of claims that are not known here, such
    as another study's plugins, are kept, and come last.
    """
    kept = calibration[~calibration["claim"].isin(new["claim"])]
    # Columns of an empty table have no type and would spoil that of the others.
    parts = [table for table in (kept, new) if len(table)]
    table = pd.concat(parts, ignore_index=True)
    order = {name: position for position, name in enumerate(CLAIMS)}
    positions = table["claim"].map(order).fillna(len(order))
    return table.iloc[positions.argsort(kind="stable")].reset_index(drop=True)


def carried_over(calibration: pd.DataFrame) -> pd.DataFrame:
    """The calibration with the present identities in `rules`.

    Only after a restructuring that changed no number. Raises UserError where a claim,
    its scenarios or their strengths are not those of the rows.
    """
    rules = identities()
    cells = {
        (name, scenario.name, float(strength))
        for name, claim in CLAIMS.items()
        for scenario in claim.scenarios
        for strength in scenario.strengths or (0.0,)
    }
    columns = (calibration[name] for name in ("claim", "scenario", "strength"))
    if odd := sorted(cells ^ set(zip(*columns, strict=True))):
        raise UserError(
            f"The calibration and the claims differ, first in {odd[0]}: nothing can be "
            "carried over; calibrate instead (make calibrate)."
        )
    return calibration.assign(rules=calibration["claim"].map(rules))
