"""Left singular vectors that align more than right ones, between seeds."""

from functools import partial

from rankone.claims.claim import CLAIMS, PRS, Claim, Scenario
from rankone.claims.measures import left_aligns
from rankone.claims.scenarios import (
    DIRECTIONS_OF_TURNING_TRIPLET,
    DIRECTIONS_OF_WALK,
    left_vectors_stay,
)

CLAIMS.add(
    Claim(
        name="left_aligns_more_across_seeds",
        source=PRS,
        statement=(
            "Left singular vectors of rank 1 align more than right ones, between seeds"
        ),
        estimator="|cos| of the left minus of the right vectors, square matrices",
        null="random walks of the same shape, momentum, drift and first triplet",
        unit="standard deviations of the null",
        margin=0.2,
        tables=("alignment_contrast",),
        measure=partial(left_aligns, kind="across_seeds"),
        scenarios=(
            DIRECTIONS_OF_WALK,
            DIRECTIONS_OF_TURNING_TRIPLET,
            Scenario(
                "left vectors are those of all seeds",
                partial(left_vectors_stay, common=True),
                (0.3, 0.5, 0.7),
            ),
        ),
        order=210,
    )
)
