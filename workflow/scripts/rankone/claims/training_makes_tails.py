"""Heavier tails of weights after training than noise gives the base."""

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
from rankone.claims.simulated.effects import spike

CLAIMS.add(
    Claim(
        name="training_makes_tails",
        source=PRS,
        statement="RLVR makes the spectra of weights heavier-tailed",
        estimator="Hill exponent of W_t, mean over matrices",
        null="the base plus Gaussian noise with the norm of the update",
        unit="exponent of the density of eigenvalues",
        margin=0.02,
        tables=("tails",),
        measure=partial(
            over_layers,
            where={"statistic": "hill_alpha", "object": "trained", "null": "perturbed"},
            sign=-1,
        ),
        scenarios=(
            TAILS_OF_NOISE,
            TAILS_OF_NOISE_ON_TAILED_BASE,
            TAILS_OF_SCALED_NOISE,
            Scenario(
                "spike", partial(tails, effect=spike, tailed=False, size=1.0), STRENGTHS
            ),
        ),
        order=60,
    )
)
