"""Changes of small weights, beyond what rounding makes of any change."""

from functools import partial
from typing import TYPE_CHECKING

from rankone.claims.claim import CLAIMS, PATH, Claim, Scenario
from rankone.claims.measures import over_layers
from rankone.claims.scenarios import (
    PLACES_OF_NOISE,
    PLACES_OF_NOISE_ON_TAILED_BASE,
    PLACES_OF_ROUNDED_NOISE,
    STRENGTHS,
    anatomy,
)
from rankone.claims.simulated.effects import noise

if TYPE_CHECKING:
    import torch


def on_small(base: "torch.Tensor", generator: "torch.Generator") -> "torch.Tensor":
    """Noise on the smaller half of the base's entries."""
    return noise(base.shape, generator) * (base.abs() < base.abs().median())


CLAIMS.add(
    Claim(
        name="low_magnitude_weights_change",
        source=PATH,
        statement="Small weights are the ones that change",
        estimator=(
            "share of changed entries among the smaller half of the base's, bfloat16"
        ),
        null=(
            "changes that depend only on how far an entry is from the next bfloat16 "
            "number"
        ),
        unit="share of entries",
        margin=0.01,
        tables=("anatomy",),
        measure=partial(
            over_layers,
            where={
                "statistic": "low_magnitude_overlap",
                "null": "margin",
                "view": "bfloat16",
            },
            sign=1,
        ),
        scenarios=(
            PLACES_OF_NOISE,
            PLACES_OF_NOISE_ON_TAILED_BASE,
            PLACES_OF_ROUNDED_NOISE,
            Scenario("on small", partial(anatomy, effect=on_small), STRENGTHS),
        ),
        order=110,
    )
)
