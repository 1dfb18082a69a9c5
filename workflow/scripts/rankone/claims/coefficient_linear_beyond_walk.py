"""Linear growth of the first coefficient, beyond that of walks."""

from functools import partial

from rankone.claims.claim import CLAIMS, RELEX, Claim
from rankone.claims.measures import beyond_walk
from rankone.claims.scenarios import DRIFT, WALK, WALK_WITH_MOMENTUM

CLAIMS.add(
    Claim(
        name="coefficient_linear_beyond_walk",
        source=RELEX,
        statement="The first coefficient grows linearly",
        estimator="R^2 of the coefficient of the first component on the step",
        null="random walks, with and without Adam's momentum",
        unit="R^2",
        margin=0.01,
        tables=("trajectory",),
        measure=partial(beyond_walk, statistic="linearity_r2"),
        scenarios=(WALK, WALK_WITH_MOMENTUM, DRIFT),
        order=230,
    )
)
