"""Control: the singular values of the update with random directions."""

from typing import TYPE_CHECKING

from rankone.variants.kind import KINDS, VariantKind

if TYPE_CHECKING:
    import torch

    from rankone.variants.apply import MatrixUpdate


def turned(update: "MatrixUpdate", number: int) -> "torch.Tensor":
    """All singular values with Haar-random vectors on both sides [out, in]."""
    from rankone.linalg.random_matrices import bulk_matched

    return bulk_matched(update.whole(), update.generator())


KINDS.add(
    VariantKind(
        name="bulk_matched",
        order=6,
        label="bulk matched (control)",
        description="all singular values of `D` with random singular vectors",
        examples=("bulk_matched",),
        control=True,
        dense=turned,
    )
)
