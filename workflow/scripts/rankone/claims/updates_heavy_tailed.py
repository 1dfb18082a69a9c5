"""Heavy tails of the updates, beyond those of uneven scales."""

from functools import partial

from rankone.claims.claim import CLAIMS, PRS, Claim, Scenario
from rankone.claims.measures import over_layers
from rankone.claims.scenarios import (
    STRENGTHS,
    TAILS_OF_NOISE,
    TAILS_OF_NOISE_ON_TAILED_BASE,
    TAILS_OF_SCALED_NOISE,
    tails,
)
from rankone.claims.simulated.effects import power_law

CLAIMS.add(
    Claim(
        name="updates_heavy_tailed",
        source=PRS,
        statement="Singular values of the updates are heavy-tailed",
        estimator="Hill exponent of W_t - W_0 (largest tenth), mean over matrices",
        null="Gaussian noise with the same scales of rows and columns",
        unit="exponent of the density of eigenvalues",
        margin=0.1,
        tables=("tails",),
        measure=partial(
            over_layers,
            where={
                "statistic": "hill_alpha",
                "object": "update",
                "null": "scale_matched",
            },
            sign=-1,
        ),
        scenarios=(
            TAILS_OF_NOISE,
            TAILS_OF_NOISE_ON_TAILED_BASE,
            TAILS_OF_SCALED_NOISE,
            Scenario("power law", partial(tails, effect=power_law), STRENGTHS),
        ),
        order=70,
    )
)
