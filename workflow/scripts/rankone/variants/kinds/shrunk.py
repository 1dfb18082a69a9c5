"""Control: the update in all its directions, as small as its rank-1 part."""

from typing import TYPE_CHECKING

from rankone.variants.kind import KINDS, VariantKind

if TYPE_CHECKING:
    from rankone.variants.apply import MatrixUpdate


def share(update: "MatrixUpdate") -> float:
    """sigma_1 / ||update||_F; 1 for an update of zeros."""
    factors = update.factors
    return factors.sigma[0].item() / factors.norm if factors.norm > 0 else 1.0


KINDS.add(
    VariantKind(
        name="shrunk",
        order=5,
        label="full, shrunk",
        description="the whole `D`, scaled to the norm of its rank-1 part",
        examples=("shrunk",),
        control=True,
        share=share,
    )
)
