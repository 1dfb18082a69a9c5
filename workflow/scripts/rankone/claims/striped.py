"""Changes that lie in rows, beyond what rounding makes of any change."""

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


def in_rows(base: "torch.Tensor", generator: "torch.Generator") -> "torch.Tensor":
    """Noise in a quarter of the rows."""
    import torch

    chosen = torch.rand(len(base), 1, generator=generator) < 0.25
    return noise(base.shape, generator) * chosen


CLAIMS.add(
    Claim(
        name="striped",
        source=PATH,
        statement="Changes lie in stripes",
        estimator=(
            "variance of the shares of changed entries over rows, over that of chance"
        ),
        null=(
            "changes that depend only on how far an entry is from the next bfloat16 "
            "number"
        ),
        unit="index, 1 by chance",
        margin=0.1,
        tables=("anatomy",),
        measure=partial(
            over_layers,
            where={
                "statistic": "row_stripes_given_margin",
                "null": "chance",
                "view": "bfloat16",
            },
            sign=1,
        ),
        scenarios=(
            PLACES_OF_NOISE,
            PLACES_OF_NOISE_ON_TAILED_BASE,
            PLACES_OF_ROUNDED_NOISE,
            Scenario("striped", partial(anatomy, effect=in_rows), STRENGTHS),
        ),
        order=130,
    )
)
