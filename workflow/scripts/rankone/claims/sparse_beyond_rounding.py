"""Entries that do not change, beyond those that rounding hides."""

from functools import partial

from rankone.claims.claim import CLAIMS, PATH, Claim, Scenario
from rankone.claims.measures import over_layers
from rankone.claims.scenarios import (
    PLACES_OF_NOISE,
    PLACES_OF_NOISE_ON_TAILED_BASE,
    PLACES_OF_ROUNDED_NOISE,
    STRENGTHS,
    anatomy,
)
from rankone.claims.simulated.effects import sparse

CLAIMS.add(
    Claim(
        name="sparse_beyond_rounding",
        source=PATH,
        statement="Updates are sparse",
        estimator="share of entries that are the same in bfloat16",
        null="Gaussian noise with the norm of the update, rounded alike",
        unit="share of entries",
        margin=0.02,
        tables=("anatomy",),
        measure=partial(
            over_layers,
            where={"statistic": "sparsity", "null": "chance", "view": "bfloat16"},
            sign=1,
        ),
        scenarios=(
            PLACES_OF_NOISE,
            PLACES_OF_NOISE_ON_TAILED_BASE,
            PLACES_OF_ROUNDED_NOISE,
            Scenario("sparse", partial(anatomy, effect=sparse), STRENGTHS),
        ),
        order=120,
    )
)
