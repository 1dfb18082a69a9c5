"""Left singular vectors that align more than right ones, to the last step."""

from functools import partial

from rankone.claims.claim import CLAIMS, PRS, Claim
from rankone.claims.measures import left_aligns
from rankone.claims.scenarios import (
    DIRECTIONS_OF_DRIFT,
    DIRECTIONS_OF_MOMENTUM,
    DIRECTIONS_OF_TURNING_TRIPLET,
    DIRECTIONS_OF_WALK,
    LEFT_VECTORS_STAY,
)

CLAIMS.add(
    Claim(
        name="left_aligns_more_to_final",
        source=PRS,
        statement=(
            "Left singular vectors of rank 1 align more than right ones, to the "
            "last step"
        ),
        estimator="|cos| of the left minus of the right vectors, square matrices",
        null="random walks of the same shape, momentum, drift and first triplet",
        unit="standard deviations of the null",
        margin=0.2,
        tables=("alignment_contrast",),
        measure=partial(left_aligns, kind="to_final"),
        scenarios=(
            DIRECTIONS_OF_WALK,
            DIRECTIONS_OF_MOMENTUM,
            DIRECTIONS_OF_DRIFT,
            DIRECTIONS_OF_TURNING_TRIPLET,
            LEFT_VECTORS_STAY,
        ),
        order=200,
    )
)
