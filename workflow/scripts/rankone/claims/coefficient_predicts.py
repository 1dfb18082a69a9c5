"""Later coefficients that a line through early ones predicts."""

import pandas as pd

from rankone.claims.claim import CLAIMS, RELEX, Claim, Evidence
from rankone.claims.measures import layered, only_table, pooled
from rankone.claims.scenarios import DRIFT, WALK, WALK_WITH_MOMENTUM
from rankone.claims.study_tables import StudyTables
from rankone.statistics.decision_rules import beyond_null
from rankone.statistics.intervals import Estimate


def predicts(claim: Claim, study: StudyTables) -> list[Evidence]:
    """Whether a line through the first coefficients predicts the later ones."""
    row = pooled(only_table(claim, study), {"statistic": "extrapolation_r2"})
    if row is None or pd.isna(row["value"]):
        return []
    effect = Estimate(row["value"], row["low"], row["high"])
    verdict = layered(row, beyond_null(effect, claim.margin))
    return [Evidence(row["value"], 0.0, effect, int(row["n"]), verdict)]


CLAIMS.add(
    Claim(
        name="coefficient_predicts",
        source=RELEX,
        statement="A line through early steps predicts the later ones",
        estimator=(
            "out-of-sample R^2 of the first coefficient, line from the first half"
        ),
        null="the mean of the later coefficients",
        unit="R^2",
        margin=0.1,
        tables=("trajectory",),
        measure=predicts,
        scenarios=(WALK, WALK_WITH_MOMENTUM, DRIFT),
        order=240,
        one_sided=True,
    )
)
