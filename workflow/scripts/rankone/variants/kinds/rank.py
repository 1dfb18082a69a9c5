"""The leading singular triplets of the update."""

from typing import TYPE_CHECKING

from rankone.variants.kind import KINDS, Parameter, VariantKind

if TYPE_CHECKING:
    from rankone.variants.apply import MatrixUpdate, Triplets


def leading_triplets(update: "MatrixUpdate", number: int) -> "Triplets":
    """The first `number` triplets."""
    factors = update.factors
    return factors.left[:, :number], factors.sigma[:number], factors.right[:number]


KINDS.add(
    VariantKind(
        name="rank",
        order=1,
        label="rank",
        description=(
            "the `K` leading singular triplets, or as many as `P` percent of the "
            "matrix's short side, rounded up (AlphaRL's \"rank-1 %\" is "
            "`rank1pct_rescaled`)"
        ),
        examples=("rank1", "rank4_rescaled", "rank5pct"),
        parameter=Parameter.COUNT,
        low_rank=leading_triplets,
        rescalable=True,
        projects_moment=True,
    )
)
