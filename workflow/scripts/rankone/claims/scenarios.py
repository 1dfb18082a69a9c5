"""Simulated studies that several claims share, and how claims make their own.

Generators of weights and trajectories are imported inside, since they need torch.
"""

from functools import partial

from rankone.claims.claim import Scenario
from rankone.claims.simulated.answers import kept, samples
from rankone.claims.study_tables import Cell, StudyTables

# Weights, with an effect as share of the norm of what it is planted in

STRENGTHS = (0.2, 0.4, 0.7, 0.95)


def tails(strength: float, seed: int, **plan) -> StudyTables:
    """The table of tails of simulated weights; `plan` is that of WeightScenario."""
    from rankone.claims.simulated import weights

    made = weights.WeightScenario(strength=strength, **plan)
    return StudyTables({"tails": weights.geometry_table(made, seed, weights.tails)})


def anatomy(strength: float, seed: int, **plan) -> StudyTables:
    """The same with the table of where updates are."""
    from rankone.claims.simulated import weights

    made = weights.WeightScenario(strength=strength, **plan)
    return StudyTables({"anatomy": weights.geometry_table(made, seed, weights.anatomy)})


TAILS_OF_NOISE = Scenario("noise", partial(tails, tailed=False))
TAILS_OF_NOISE_ON_TAILED_BASE = Scenario("noise on a heavy-tailed base", tails)
TAILS_OF_SCALED_NOISE = Scenario(
    "noise with scales of its own", partial(tails, rows=True)
)
PLACES_OF_NOISE = Scenario("noise", partial(anatomy, tailed=False))
PLACES_OF_NOISE_ON_TAILED_BASE = Scenario("noise on a heavy-tailed base", anatomy)
PLACES_OF_ROUNDED_NOISE = Scenario(
    "noise stored in bfloat16", partial(anatomy, rounded=True)
)


# Trajectories


def alignment(strength: float, seed: int, **walk) -> StudyTables:
    """The table of aligned directions of a walk; `walk` is that of WalkScenario."""
    from rankone.claims.simulated import trajectories

    made = trajectories.WalkScenario(**walk)
    return StudyTables({"alignment_contrast": trajectories.contrast(made, seed)})


def left_vectors_stay(strength: float, seed: int, **walk) -> StudyTables:
    """alignment() of walks with a triplet of that share whose left vector stays."""
    return alignment(0.0, seed, left=strength, **walk)


def trajectory(strength: float, seed: int, **walk) -> StudyTables:
    """The table of trajectories of a walk; `walk` is that of WalkScenario."""
    from rankone.claims.simulated import trajectories

    made = trajectories.WalkScenario(**walk)
    return StudyTables({"trajectory": trajectories.statistics(made, seed)})


def drifting(strength: float, seed: int) -> StudyTables:
    """trajectory() of walks that drift as far as that."""
    return trajectory(0.0, seed, drift=strength)


DIRECTIONS_OF_WALK = Scenario("walk", alignment)
DIRECTIONS_OF_MOMENTUM = Scenario("walk with momentum", partial(alignment, rho=0.9))
DIRECTIONS_OF_DRIFT = Scenario("walk with drift", partial(alignment, drift=1.0))
DIRECTIONS_OF_TURNING_TRIPLET = Scenario(
    "walk with a turning triplet", partial(alignment, spike=0.5)
)
LEFT_VECTORS_STAY = Scenario("left vectors stay", left_vectors_stay, (0.3, 0.5, 0.7))
WALK = Scenario("walk", trajectory)
WALK_WITH_MOMENTUM = Scenario("walk with momentum", partial(trajectory, rho=0.9))
DRIFT = Scenario("drift", drifting, (1.0, 2.0, 4.0, 8.0))


# Scores and samples


def equivalence(*, treated: str, cell: Cell, margin: float) -> tuple[Scenario, ...]:
    """Scenarios of a variant that keeps a score: two nulls, and controls that lose."""
    studies = partial(kept, treated=treated, cell=cell)
    return (
        Scenario(
            "rank 1 loses the margin", partial(studies, loss=margin, controls=0.3)
        ),
        Scenario("controls keep as much", studies),
        Scenario("controls lose, rank 1 keeps", studies, (0.05, 0.1, 0.2, 0.3)),
    )


def unchanged(strength: float, seed: int) -> StudyTables:
    """Samples of a model that training has not changed."""
    return samples(0.0, 0.0, seed)


UNCHANGED_MODEL = Scenario("an unchanged model", unchanged)
