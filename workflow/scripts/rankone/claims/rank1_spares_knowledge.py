"""General knowledge of the base that rank 1 keeps."""

from functools import partial

from rankone.claims.claim import CLAIMS, PRS, Claim
from rankone.claims.measures import keeps
from rankone.claims.scenarios import equivalence
from rankone.claims.study_tables import KNOWLEDGE_CELL
from rankone.names import BASE

MARGIN = 0.05  # share of items

CLAIMS.add(
    Claim(
        name="rank1_spares_knowledge",
        source=PRS,
        statement=(
            "The rank-1 component holds no other knowledge: it leaves it as it was"
        ),
        estimator="mean knowledge score of rank 1 minus the base's",
        null="controls that leave it as it was, too",
        unit="share of items",
        margin=MARGIN,
        measure=partial(keeps, cell=KNOWLEDGE_CELL, treated="rank1", reference=BASE),
        scenarios=equivalence(treated="rank1", cell=KNOWLEDGE_CELL, margin=MARGIN),
        order=40,
        one_sided=True,
    )
)
