"""Accuracy of the full update that rank 1, rescaled, keeps."""

from functools import partial

from rankone.claims.claim import ALPHARL, CLAIMS, Claim
from rankone.claims.measures import keeps
from rankone.claims.scenarios import equivalence
from rankone.claims.study_tables import HELD_OUT_CELL
from rankone.names import FULL

MARGIN = 0.05  # share of items

CLAIMS.add(
    Claim(
        name="rank1_rescaled_keeps_all",
        source=ALPHARL,
        statement="Rank 1, rescaled, recovers the trained model's accuracy",
        estimator=(
            "held-out accuracy of rank 1, rescaled, minus that of the full update"
        ),
        null="controls that recover it as well",
        unit="share of items",
        margin=MARGIN,
        measure=partial(
            keeps, cell=HELD_OUT_CELL, treated="rank1_rescaled", reference=FULL
        ),
        scenarios=equivalence(
            treated="rank1_rescaled", cell=HELD_OUT_CELL, margin=MARGIN
        ),
        order=30,
        one_sided=True,
    )
)
