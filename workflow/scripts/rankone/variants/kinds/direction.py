"""One singular direction of the update at the norm of the whole."""

from typing import TYPE_CHECKING

from rankone.variants.kind import KINDS, Parameter, VariantKind

if TYPE_CHECKING:
    from rankone.variants.apply import MatrixUpdate, Triplets


def one_triplet(update: "MatrixUpdate", number: int) -> "Triplets":
    """The triplet of index `number`, from 1; none where the matrix has none.

    It gets the norm of the update, as in AlphaRL's curve of single subspaces.
    """
    from rankone.variants.apply import rescaled

    kept, factors = slice(number - 1, number), update.factors
    sigma = rescaled(factors.sigma[kept], factors)
    return factors.left[:, kept], sigma, factors.right[kept]


KINDS.add(
    VariantKind(
        name="direction",
        order=4,
        label="direction",
        description=(
            "the `I`-th triplet alone, scaled to the Frobenius norm of `D` (AlphaRL's "
            "single subspaces); nothing where a matrix has no `I`-th direction"
        ),
        examples=("direction3",),
        parameter=Parameter.INDEX,
        low_rank=one_triplet,
        fixed_rank=1,
    )
)
