"""Energy of the first component of a trajectory, beyond that of walks."""

from functools import partial

from rankone.claims.claim import CLAIMS, RELEX, Claim
from rankone.claims.measures import beyond_walk
from rankone.claims.scenarios import DRIFT, WALK, WALK_WITH_MOMENTUM

CLAIMS.add(
    Claim(
        name="trajectory_beyond_walk",
        source=RELEX,
        statement="The trajectory of a matrix has rank 1",
        estimator="share of the first component in the energy of the updates over time",
        null="random walks, with and without Adam's momentum",
        unit="share of the energy",
        margin=0.02,
        tables=("trajectory",),
        measure=partial(beyond_walk, statistic="first_component_share"),
        scenarios=(WALK, WALK_WITH_MOMENTUM, DRIFT),
        order=220,
    )
)
