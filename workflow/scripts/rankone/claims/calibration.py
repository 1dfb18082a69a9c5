"""Calibration: what the verdicts say of made-up studies whose truth is known.

Each claim has scenarios in which it is false by construction, and one in which it is
true to a degree. Made-up weights, answers and trajectories go through the same code as
measured ones, up to the verdict. A false verdict is `supported` or `contradicted` where
there is no effect; for equivalence, `supported` where the difference is the margin.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import pandas as pd
import torch

from rankone.claims import synthetic_answers, synthetic_trajectories, synthetic_weights
from rankone.claims.registry import CLAIMS, HELD_OUT_CELL, KNOWLEDGE_CELL, Tables
from rankone.claims.synthetic_trajectories import WalkScenario
from rankone.claims.synthetic_weights import WeightScenario
from rankone.statistics import decision_rules
from rankone.statistics.intervals import wilson

TAIL_CLAIMS = (
    *("weights_heavy_tailed", "training_makes_tails"),
    *("updates_heavy_tailed", "rank1_energy_beyond_noise"),
)
PLACE_CLAIMS = (
    *("spectrum_preserved", "off_principal", "low_magnitude_weights_change"),
    *("sparse_beyond_rounding", "striped"),
)
SAME = "same_subnetwork"
# Claims that may be rightly contradicted where they are not true.
ONE_SIDED = (
    *("rank1_rescaled_keeps_all", "rank1_spares_knowledge"),
    "coefficient_predicts",
)
STRENGTHS = (0.2, 0.4, 0.7, 0.95)
OUTCOME_COLUMNS = ["claim", "scenario", "strength", "seed", "verdict"]
RATE_COLUMNS = [*("claim", "scenario", "strength", "rate", "low", "high", "n", "rules")]


@dataclass(frozen=True)
class Scenario:
    """Made-up studies of one kind.

    `make` gives the tables of a study from a strength and a seed. Without `strengths`
    the claims are false in it.
    """

    name: str
    claims: tuple[str, ...]
    make: Callable[[float, int], Tables]
    strengths: tuple[float, ...] = ()


def weights(
    strength: float, seed: int, *, parts: tuple[str, ...], runs: int = 1, **plan
) -> Tables:
    """Tables of made-up weights."""
    made = WeightScenario(strength=strength, **plan)
    return synthetic_weights.geometry_tables(made, seed, parts, runs)


def geometry_nulls() -> list[Scenario]:
    """Weights that changed by noise alone."""
    away, stored = (*TAIL_CLAIMS[1:], *PLACE_CLAIMS), PLACE_CLAIMS[2:]
    both = partial(weights, parts=("tails", "anatomy"))
    two = partial(weights, parts=("overlap",), runs=2)
    rounded = {"stored": torch.bfloat16}
    return [
        Scenario("noise", (*TAIL_CLAIMS, *PLACE_CLAIMS), partial(both, tailed=False)),
        Scenario("noise on a heavy-tailed base", away, both),
        Scenario(
            "noise with scales of its own",
            TAIL_CLAIMS[1:],
            partial(weights, parts=("tails",), rows=True),
        ),
        Scenario(
            "noise stored in bfloat16",
            stored,
            partial(weights, parts=("anatomy",), **rounded),
        ),
        Scenario("noise in two runs", (SAME,), two),
        Scenario("two runs stored in bfloat16", (SAME,), partial(two, **rounded)),
    ]


def planted(claim: str, effect: str, part: str, **plan) -> Scenario:
    """Weights with an effect in them."""
    made = plan | {"effect": getattr(synthetic_weights, effect)}
    make = partial(weights, parts=(part,), **made)
    return Scenario(effect.replace("_", " "), (claim,), make, STRENGTHS)


def geometry_effects() -> list[Scenario]:
    """For each claim about weights one kind of effect."""
    return [
        planted(TAIL_CLAIMS[0], "power_law", "tails", in_base=True, tailed=False),
        planted(TAIL_CLAIMS[1], "spike", "tails", tailed=False, size=1.0),
        planted(TAIL_CLAIMS[2], "power_law", "tails"),
        planted(TAIL_CLAIMS[3], "spike", "tails"),
        planted(PLACE_CLAIMS[0], "turned", "anatomy"),
        planted(PLACE_CLAIMS[1], "off_principal", "anatomy"),
        planted(PLACE_CLAIMS[2], "on_small", "anatomy"),
        planted(PLACE_CLAIMS[3], "sparse", "anatomy"),
        planted(PLACE_CLAIMS[4], "striped", "anatomy"),
        planted(SAME, "sparse", "overlap", runs=2, shared=True),
    ]


def score_scenarios() -> list[Scenario]:
    """Scores of variants and of their controls."""
    gains, kept = synthetic_answers.gains, synthetic_answers.kept
    found = [
        Scenario(
            "controls gain as much",
            ("rank1_carries_the_gain",),
            lambda strength, seed: gains(0.3, 0.3, seed),
        ),
        Scenario(
            "nothing gains",
            ("rank1_carries_the_gain",),
            lambda strength, seed: gains(0.0, 0.0, seed),
        ),
        Scenario(
            "rank 1 gains more than its controls",
            ("rank1_carries_the_gain",),
            lambda strength, seed: gains(0.1 + strength, 0.1, seed),
            (0.05, 0.1, 0.2, 0.3),
        ),
    ]
    for claim, treated, place in (
        ("rank1_rescaled_keeps_all", "rank1_rescaled", HELD_OUT_CELL),
        ("rank1_spares_knowledge", "rank1", KNOWLEDGE_CELL),
    ):
        margin = decision_rules.MARGINS[claim]
        make = partial(kept, treated, place)
        found += [
            Scenario(
                "rank 1 loses the margin",
                (claim,),
                lambda s, seed, make=make, m=margin: make(m, 0.3, seed),
            ),
            Scenario(
                "controls keep as much",
                (claim,),
                lambda s, seed, make=make: make(0.0, 0.0, seed),
            ),
            Scenario(
                "controls lose, rank 1 keeps",
                (claim,),
                lambda s, seed, make=make: make(0.0, s, seed),
                (0.05, 0.1, 0.2, 0.3),
            ),
        ]
    return found


def answer_scenarios() -> list[Scenario]:
    """Rewards of arms, and repeated answers."""
    probes, samples = synthetic_answers.probes, synthetic_answers.samples
    likelihoods, forgetting = (
        synthetic_answers.likelihoods,
        synthetic_answers.forgetting,
    )
    both = ("pass_at_1_rises", "base_overtakes")
    likely, forgets = "answers_likely_under_base", "rank1_forgets_less_at_equal_kl"
    return [
        Scenario(
            "all arms lose alike",
            ("implicit_overfitting",),
            lambda s, seed: probes(0.0, seed),
        ),
        Scenario(
            "training problems lose more",
            ("implicit_overfitting",),
            lambda s, seed: probes(s, seed),
            (0.05, 0.1, 0.15, 0.2),
        ),
        Scenario("an unchanged model", both, lambda s, seed: samples(0.0, 0.0, seed)),
        Scenario(
            "better rates",
            both[:1],
            lambda s, seed: samples(0.0, s, seed),
            (0.05, 0.1, 0.2),
        ),
        Scenario(
            "problems are lost",
            both[1:],
            lambda s, seed: samples(s, 0.2, seed),
            (0.05, 0.1, 0.2, 0.3),
        ),
        Scenario(
            "answers as likely as before",
            (likely,),
            lambda s, seed: likelihoods(0.0, seed),
        ),
        Scenario(
            "likelier answers",
            (likely,),
            lambda s, seed: likelihoods(s, seed),
            (0.05, 0.1, 0.2),
        ),
        Scenario(
            "forgetting follows the KL",
            (forgets,),
            lambda s, seed: forgetting(0.0, seed),
        ),
        Scenario(
            "rank 1 forgets less",
            (forgets,),
            lambda s, seed: forgetting(s, seed),
            (0.05, 0.1, 0.2, 0.3),
        ),
    ]


def walks(strength: float, seed: int, **walk) -> Tables:
    """Tables of made-up trajectories; a setting that is None is the strength."""
    found = {name: strength if value is None else value for name, value in walk.items()}
    return synthetic_trajectories.tables(WalkScenario(**found), seed)


def trajectory_scenarios() -> list[Scenario]:
    """Random walks, and what is more than one."""
    left = tuple(f"left_aligns_more_{k}" for k in ("adjacent", "to_final"))
    seeds, drift = ("left_aligns_more_across_seeds",), (1.0, 2.0, 4.0, 8.0)
    rank1 = ("trajectory_beyond_walk", "coefficient_linear_beyond_walk")
    straight = (*rank1, "weights_linear_beyond_walk", "coefficient_predicts")
    common = partial(walks, left=None, common=True)
    return [
        Scenario("walk", (*left, *seeds, *straight), walks),
        Scenario("walk with momentum", (*left, *straight), partial(walks, rho=0.9)),
        Scenario("walk with drift", left, partial(walks, drift=1.0)),
        Scenario(
            "walk with a turning triplet", (*left, *seeds), partial(walks, spike=0.5)
        ),
        Scenario("left vectors stay", left, partial(walks, left=None), (0.3, 0.5, 0.7)),
        Scenario("left vectors are those of all seeds", seeds, common, (0.3, 0.5, 0.7)),
        Scenario("drift", straight, partial(walks, drift=None), drift),
    ]


def scenarios() -> list[Scenario]:
    """All of them."""
    return [
        *trajectory_scenarios(),
        *score_scenarios(),
        *answer_scenarios(),
        *geometry_nulls(),
        *geometry_effects(),
    ]


def outcomes(scenario: Scenario, strength: float, seed: int) -> list[dict]:
    """The verdict on every claim of one made-up study."""
    tables = scenario.make(strength, seed)
    cell = {"scenario": scenario.name, "strength": strength, "seed": seed}
    return [
        {"claim": claim.name, **cell, "verdict": evidence.verdict.word}
        for claim in CLAIMS
        if claim.name in scenario.claims
        for evidence in claim.measure(tables)
    ]


def study(place: tuple[int, float, int]) -> list[dict]:
    """outcomes() from the number of a scenario, a strength and a seed."""
    number, strength, seed = place
    return outcomes(scenarios()[number], strength, seed)


def false_words(claim: str) -> tuple[str, ...]:
    """The verdicts that are false where there is no effect."""
    if claim in ONE_SIDED:
        return (decision_rules.SUPPORTED,)
    return decision_rules.SUPPORTED, decision_rules.CONTRADICTED


def rates(found: pd.DataFrame, rules: str) -> pd.DataFrame:
    """One row a claim, scenario and strength: rate of verdicts with Wilson's interval.

    Of false verdicts at strength 0, of `supported` beyond it (the power).
    """
    rows = []
    for key, cell in found.groupby(["claim", "scenario", "strength"], sort=False):
        claim, _, strength = key
        words = (decision_rules.SUPPORTED,) if strength else false_words(claim)
        rate = wilson(cell["verdict"].isin(words).mean(), len(cell))
        row = dict(zip(("claim", "scenario", "strength"), key, strict=True))
        row |= {"rate": rate.value, "low": rate.low, "high": rate.high}
        rows.append(row | {"n": len(cell), "rules": rules})
    return pd.DataFrame(rows, columns=RATE_COLUMNS)
