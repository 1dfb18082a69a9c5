"""Problems that one answer of the trained model solves more often."""

from rankone.claims.claim import CLAIMS, LIMIT, Claim, Evidence, Scenario
from rankone.claims.measures import of_full, only_table, pass_evidence
from rankone.claims.scenarios import UNCHANGED_MODEL
from rankone.claims.simulated.answers import samples
from rankone.claims.study_tables import StudyTables


def pass_rises(claim: Claim, study: StudyTables) -> list[Evidence]:
    """Whether one answer of the trained model is right more often than the base's."""
    row = of_full(only_table(claim, study), lambda table: table["k"] == 1)
    return [] if row is None else [pass_evidence(claim, row, 1)]


def better_rates(strength: float, seed: int) -> StudyTables:
    """Samples of a model that solves every problem that much more often."""
    return samples(0.0, strength, seed)


CLAIMS.add(
    Claim(
        name="pass_at_1_rises",
        source=LIMIT,
        statement="RLVR makes sampling more efficient",
        estimator="pass@1 of the full update minus the base's, paired by problem",
        null="no difference",
        unit="share of problems",
        margin=0.05,
        tables=("pass_at_k",),
        measure=pass_rises,
        scenarios=(
            UNCHANGED_MODEL,
            Scenario("better rates", better_rates, (0.05, 0.1, 0.2)),
        ),
        order=150,
    )
)
