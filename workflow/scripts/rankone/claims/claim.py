"""A claim: a statement, how it is measured, what could fake it, and its calibration.

A claim is a file of this folder, or a user's plugin, that adds one to CLAIMS:

    CLAIMS.add(Claim(name="striped", ..., measure=..., scenarios=(...)))

`measure` and the generators of the scenarios are named functions, or partial ones whose
functions are bound by keyword: the code that they use decides whether a calibration is
theirs (calibration.py). Files of claims are light: torch is imported inside functions.
"""

from collections.abc import Callable, Collection
from dataclasses import dataclass

from rankone.claims.study_tables import StudyTables
from rankone.errors import UserError
from rankone.registry import Registry
from rankone.statistics.decision_rules import Verdict
from rankone.statistics.intervals import Estimate

PRS, ALPHARL, RELEX = "arXiv 2605.06523", "arXiv 2510.00553", "arXiv 2605.21468"
LINEARITY, LIMIT, PATH = "arXiv 2601.04537", "arXiv 2504.13837", "arXiv 2511.08567"


@dataclass(frozen=True)
class Evidence:
    """What a study says of a claim.

    `effect` is signed so that above zero speaks for the claim; `value` and `null_value`
    are what it comes from, in their own unit. `subject` tells several of one claim
    apart, such as the arms with an intervention.
    """

    value: float
    null_value: float
    effect: Estimate
    n: int
    verdict: Verdict
    subject: str = ""


@dataclass(frozen=True)
class Scenario:
    """Simulated studies of one kind, through the code of real ones.

    `make` gives the tables of a study from a strength and a seed. Without `strengths`
    the claim is false in them, and the strength is 0; else it is true to that degree.
    Claims that share a scenario share the object, and the studies are made once.
    """

    name: str
    make: Callable[[float, int], StudyTables]
    strengths: tuple[float, ...] = ()


@dataclass(frozen=True)
class Claim:
    """A statement of a paper, its test, and the simulated studies that calibrate it.

    `margin` is the smallest effect of interest, in `unit`, which is that of the effect;
    it is fixed before any result is looked at. `measure` gives the evidence of a study
    that has all of `tables`, with the rows of the first arm, or of all if `all_arms`.
    A claim that is `one_sided` may rightly be contradicted where it is not true.
    """

    name: str
    source: str
    statement: str
    estimator: str
    null: str
    unit: str
    margin: float
    measure: Callable[["Claim", StudyTables], list[Evidence]]
    scenarios: tuple[Scenario, ...]
    tables: tuple[str, ...] = ()
    order: int = 1000
    one_sided: bool = False
    all_arms: bool = False

    def __post_init__(self) -> None:
        """Raise UserError unless the claim can be calibrated."""
        names = [scenario.name for scenario in self.scenarios]
        if len(set(names)) < len(names):
            raise UserError(
                f"The claim {self.name!r} has two scenarios of one name: "
                f"{', '.join(names)}; rename one."
            )
        if len({bool(scenario.strengths) for scenario in self.scenarios}) < 2:
            raise UserError(
                f"The claim {self.name!r} needs scenarios of both kinds: one without "
                "strengths, in which it is false, and one with a planted effect."
            )

    def evidence(self, study: StudyTables) -> list[Evidence]:
        """What a study says; nothing where it has not made one of the tables."""
        measured = study.tables.keys() >= set(self.tables)
        return self.measure(self, study) if measured else []


CLAIMS: Registry[Claim] = Registry("The claim", "rankone.claims")


def needed_tables(known: Collection[str]) -> list[str]:
    """The tables that claims are tested on.

    Raises UserError for one that is not among `known`, those that rules make.
    """
    for claim in CLAIMS.values():
        if missing := sorted(set(claim.tables) - set(known)):
            raise UserError(
                f"The claim {claim.name!r} needs the table {missing[0]!r}, which no "
                f"rule makes; expected some of {', '.join(sorted(known))}."
            )
    return list(dict.fromkeys(t for claim in CLAIMS.values() for t in claim.tables))
