"""Energy of the first triplet of the updates, beyond that of noise."""

from functools import partial

from rankone.claims.claim import ALPHARL, CLAIMS, Claim, Scenario
from rankone.claims.measures import over_layers
from rankone.claims.scenarios import (
    STRENGTHS,
    TAILS_OF_NOISE,
    TAILS_OF_NOISE_ON_TAILED_BASE,
    TAILS_OF_SCALED_NOISE,
    tails,
)
from rankone.claims.simulated.effects import spike

CLAIMS.add(
    Claim(
        name="rank1_energy_beyond_noise",
        source=ALPHARL,
        statement="The first direction stands out of the update",
        estimator=(
            "share of the update's energy in its first triplet, mean over matrices"
        ),
        null="Gaussian noise with the same scales of rows and columns",
        unit="share of the energy",
        margin=0.01,
        tables=("tails",),
        measure=partial(
            over_layers,
            where={
                "statistic": "top_1_energy",
                "object": "update",
                "null": "scale_matched",
            },
            sign=1,
        ),
        scenarios=(
            TAILS_OF_NOISE,
            TAILS_OF_NOISE_ON_TAILED_BASE,
            TAILS_OF_SCALED_NOISE,
            Scenario("spike", partial(tails, effect=spike), STRENGTHS),
        ),
        order=80,
    )
)
