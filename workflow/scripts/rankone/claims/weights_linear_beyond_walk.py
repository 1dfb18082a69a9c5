"""Weights that move linearly, beyond those of walks."""

from functools import partial

from rankone.claims.claim import CLAIMS, LINEARITY, Claim
from rankone.claims.measures import beyond_walk
from rankone.claims.scenarios import DRIFT, WALK, WALK_WITH_MOMENTUM

CLAIMS.add(
    Claim(
        name="weights_linear_beyond_walk",
        source=LINEARITY,
        statement="Most weights move linearly",
        estimator="share of weights with R^2 above 0.7 on the step",
        null="random walks, with and without Adam's momentum",
        unit="share of weights",
        margin=0.05,
        tables=("trajectory",),
        measure=partial(beyond_walk, statistic="linear_share"),
        scenarios=(WALK, WALK_WITH_MOMENTUM, DRIFT),
        order=250,
    )
)
