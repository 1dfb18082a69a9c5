"""Control: the update without its leading singular triplets."""

from typing import TYPE_CHECKING

from rankone.variants.kind import KINDS, Parameter, VariantKind

if TYPE_CHECKING:
    import torch

    from rankone.variants.apply import MatrixUpdate, Triplets


def rest(update: "MatrixUpdate", number: int) -> "torch.Tensor":
    """The update less its first `number` triplets [out, in]."""
    return update.whole() - update.factors.part(number)


def later_triplets(update: "MatrixUpdate", number: int) -> "Triplets":
    """All triplets after the first `number`."""
    factors = update.factors
    return factors.left[:, number:], factors.sigma[number:], factors.right[number:]


KINDS.add(
    VariantKind(
        name="without_rank",
        order=2,
        label="without rank",
        description="`D` without the leading triplets",
        examples=("without_rank1",),
        parameter=Parameter.COUNT,
        control=True,
        dense=rest,
        from_all_triplets=later_triplets,
    )
)
