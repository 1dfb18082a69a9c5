"""Problems that the base solves in many answers, the trained model not."""

from rankone.claims.claim import CLAIMS, LIMIT, Claim, Evidence, Scenario
from rankone.claims.measures import of_full, only_table, pass_evidence
from rankone.claims.scenarios import UNCHANGED_MODEL
from rankone.claims.simulated.answers import samples
from rankone.claims.study_tables import StudyTables


def base_overtakes(claim: Claim, study: StudyTables) -> list[Evidence]:
    """Whether the base solves more than the trained model in the most answers."""
    most = only_table(claim, study)
    row = of_full(most, lambda table: table["k"] == table["k"].max())
    if row is None or row["k"] == 1:
        return []
    return [pass_evidence(claim, row, -1)]


def lost_problems(strength: float, seed: int) -> StudyTables:
    """Samples of a model that never solves that share, and the others more often."""
    return samples(strength, 0.2, seed)


CLAIMS.add(
    Claim(
        name="base_overtakes",
        source=LIMIT,
        statement="With many answers the base solves more than the trained model",
        estimator="pass@k of the base minus that of the full update at the largest k",
        null="no difference",
        unit="share of problems",
        margin=0.05,
        tables=("pass_at_k",),
        measure=base_overtakes,
        scenarios=(
            UNCHANGED_MODEL,
            Scenario("problems are lost", lost_problems, (0.05, 0.1, 0.2, 0.3)),
        ),
        order=160,
    )
)
