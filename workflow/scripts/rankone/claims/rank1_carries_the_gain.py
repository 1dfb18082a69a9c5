"""Gain of accuracy that rank 1 has and no control of its size."""

from functools import partial

from rankone.claims.claim import CLAIMS, PRS, Claim, Evidence, Scenario
from rankone.claims.measures import CONTROL_VARIANTS
from rankone.claims.simulated.answers import scores
from rankone.claims.study_tables import HELD_OUT_CELL, StudyTables
from rankone.names import BASE
from rankone.statistics.decision_rules import ControlContrast, with_controls


def carries_the_gain(claim: Claim, study: StudyTables) -> list[Evidence]:
    """Whether rank 1 raises held-out accuracy, and more than every control."""
    found = study.last_scores.get(HELD_OUT_CELL)
    if found is None or not found.has("rank1"):
        return []
    effect = found.difference("rank1", BASE)
    controls = [
        ControlContrast(
            name, found.difference(name, BASE), found.difference("rank1", name)
        )
        for name in CONTROL_VARIANTS
        if found.has(name)
    ]
    verdict = with_controls(effect, controls, claim.margin)
    means = found.mean("rank1"), found.mean(BASE)
    return [Evidence(*means, effect, found.n, verdict)]


def gains(strength: float, seed: int, *, controls: float) -> StudyTables:
    """A study whose base solves 0.35, its controls `controls` more.

    Rank 1 solves the strength more than they do; a random direction gains nothing.
    """
    found = {BASE: 0.35, "rank1": 0.35 + (controls + strength), "random_rank1": 0.35}
    found |= dict.fromkeys(("without_rank1", "shrunk"), 0.35 + controls)
    return scores(HELD_OUT_CELL, found, seed)


CLAIMS.add(
    Claim(
        name="rank1_carries_the_gain",
        source=PRS,
        statement="The rank-1 component carries the gain in mathematics",
        estimator="held-out accuracy of rank 1 minus the base's",
        null="the same norm in the whole update, without rank 1, in a random direction",
        unit="share of items",
        margin=0.05,
        measure=carries_the_gain,
        scenarios=(
            Scenario("controls gain as much", partial(gains, controls=0.3)),
            Scenario("nothing gains", partial(gains, controls=0.0)),
            Scenario(
                "rank 1 gains more than its controls",
                partial(gains, controls=0.1),
                (0.05, 0.1, 0.2, 0.3),
            ),
        ),
        order=20,
    )
)
