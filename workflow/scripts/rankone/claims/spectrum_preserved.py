"""Singular values of the base that training keeps."""

from functools import partial
from typing import TYPE_CHECKING

from rankone.claims.claim import CLAIMS, PATH, Claim, Scenario
from rankone.claims.measures import over_layers
from rankone.claims.scenarios import (
    PLACES_OF_NOISE,
    PLACES_OF_NOISE_ON_TAILED_BASE,
    STRENGTHS,
    anatomy,
)

if TYPE_CHECKING:
    import torch


def turned(base: "torch.Tensor", generator: "torch.Generator") -> "torch.Tensor":
    """A change that turns the base's rows and so keeps its singular values."""
    import torch

    skew = torch.randn(len(base), len(base), generator=generator)
    return (skew - skew.T) @ base


CLAIMS.add(
    Claim(
        name="spectrum_preserved",
        source=PATH,
        statement="RLVR keeps the base's singular values",
        estimator="drift of the singular values, mean over matrices",
        null="Gaussian noise with the norm of the update",
        unit="share of the null",
        margin=0.1,
        tables=("anatomy",),
        measure=partial(
            over_layers,
            where={"statistic": "spectrum_drift", "null": "chance", "view": "float32"},
            sign=-1,
            relative=True,
        ),
        scenarios=(
            PLACES_OF_NOISE,
            PLACES_OF_NOISE_ON_TAILED_BASE,
            Scenario("turned", partial(anatomy, effect=turned), STRENGTHS),
        ),
        order=90,
    )
)
