"""Control: the leading singular values of the update with random directions."""

from typing import TYPE_CHECKING

from rankone.variants.kind import KINDS, Parameter, VariantKind

if TYPE_CHECKING:
    from rankone.variants.apply import MatrixUpdate, Triplets


def random_triplets(update: "MatrixUpdate", number: int) -> "Triplets":
    """The first `number` singular values with Haar-random vectors on both sides."""
    from rankone.linalg.random_matrices import haar

    factors, generator = update.factors, update.generator()
    left = haar(*factors.left[:, :number].shape, generator)
    right = haar(*factors.right[:number].T.shape, generator).T
    return left, factors.sigma[:number], right


KINDS.add(
    VariantKind(
        name="random_rank",
        order=3,
        label="random rank",
        description="the leading singular values of `D` with random singular vectors",
        examples=("random_rank1",),
        parameter=Parameter.COUNT,
        control=True,
        low_rank=random_triplets,
        rescalable=True,
    )
)
