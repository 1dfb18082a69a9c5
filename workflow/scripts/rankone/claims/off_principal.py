"""Updates that lie outside the base's leading subspaces."""

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
from rankone.claims.simulated.effects import BASE_RANK, noise

if TYPE_CHECKING:
    import torch


def off_principal(base: "torch.Tensor", generator: "torch.Generator") -> "torch.Tensor":
    """Noise without its part in the base's leading subspaces on both sides."""
    import torch

    left, _, right = torch.linalg.svd(base, full_matrices=False)
    left, right = left[:, :BASE_RANK], right[:BASE_RANK]
    change = noise(base.shape, generator)
    return change - left @ (left.T @ change @ right.T) @ right


CLAIMS.add(
    Claim(
        name="off_principal",
        source=PATH,
        statement="Updates avoid the base's principal directions",
        estimator="energy of the update in the base's leading subspaces on both sides",
        null="the same update with random signs",
        unit="share of the null",
        margin=0.1,
        tables=("anatomy",),
        measure=partial(
            over_layers,
            where={"statistic": "principal_share", "null": "signs", "view": "float32"},
            sign=-1,
            relative=True,
        ),
        scenarios=(
            PLACES_OF_NOISE,
            PLACES_OF_NOISE_ON_TAILED_BASE,
            Scenario(
                "off principal", partial(anatomy, effect=off_principal), STRENGTHS
            ),
        ),
        order=100,
    )
)
