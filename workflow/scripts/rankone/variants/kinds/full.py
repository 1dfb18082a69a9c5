"""The update itself."""

from typing import TYPE_CHECKING

from rankone.names import FULL
from rankone.variants.kind import KINDS, VariantKind

if TYPE_CHECKING:
    from rankone.variants.apply import MatrixUpdate


def share(update: "MatrixUpdate") -> float:
    """All of the update."""
    return 1.0


KINDS.add(
    VariantKind(
        name=FULL,
        order=0,
        label="full update",
        description=(
            "`D`; the plain `full` is the trained checkpoint itself, with all its "
            "other tensors"
        ),
        examples=(FULL,),
        noop=True,
        share=share,
    )
)
