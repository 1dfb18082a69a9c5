"""Random matrices that share some properties of a given one: nulls of a spectrum."""

from collections.abc import Callable

import torch

from rankone.errors import UserError
from rankone.linalg.svd import frobenius

Null = Callable[[torch.Tensor, torch.Generator], torch.Tensor]
# Scales of rows and columns are fitted to this accuracy, or as often as this.
SCALE_TOLERANCE, SCALE_ROUNDS = 1e-5, 200


def noise(like: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Independent standard Gaussian entries of that shape, float32."""
    found = torch.randn(like.shape, generator=generator, device=generator.device)
    return found.to(like.device)


def gaussian(matrix: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Independent Gaussian entries with the matrix's Frobenius norm.

    The norm is the same in every draw, not only the variance: then the test is exact,
    as the spectrum of such noise over its norm is independent of the norm.
    """
    return noise_of_norm(matrix, frobenius(matrix), generator)


def noise_of_norm(
    like: torch.Tensor, norm: float, generator: torch.Generator
) -> torch.Tensor:
    """Independent Gaussian entries of that shape with this Frobenius norm, float32."""
    drawn = noise(like, generator)
    return drawn * (norm / frobenius(drawn))


def shuffled(matrix: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """The matrix's entries in random order: the same marginal distribution."""
    order = torch.randperm(matrix.numel(), generator=generator, device=generator.device)
    return matrix.flatten()[order.to(matrix.device)].reshape(matrix.shape)


def sign_flipped(matrix: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Random signs: the same magnitudes and zeros, entry by entry."""
    coins = torch.randint(2, matrix.shape, generator=generator, device=generator.device)
    return matrix * (2 * coins - 1).to(matrix)


def scale_matched(matrix: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Gaussian noise between two diagonal matrices, with the matrix's scales().

    The draw has the scales itself, not only on average: those of the matrix are
    estimates, and noise around estimates has their errors twice. Then the test is
    nearly exact, however different the scales are. The norm is the matrix's.
    """
    drawn = noise(matrix, generator)
    if not matrix.any():
        return torch.zeros_like(drawn)
    # Rows and columns of zeros have no scale; the draw must not have one, either.
    drawn = drawn * matrix.any(dim=1)[:, None] * matrix.any(dim=0)
    rows, columns = (
        quotient(own, other)
        for own, other in zip(scales(matrix), scales(drawn), strict=True)
    )
    drawn = rows[:, None] * drawn * columns
    return drawn * (frobenius(matrix) / frobenius(drawn))


def scales(matrix: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Scales of the rows [m] and columns [n], up to a factor between the two.

    The matrix over them has the same mean square in all rows and columns: the largest
    likelihood for Gaussian entries whose variances have rank 1. Rows and columns are
    scaled in turn (Sinkhorn, Ann. Math. Stat. 35 (1964) 876); zero for those of zeros.

    With zeros elsewhere there may be no such scales. In that share the squares give way
    to the products of their row and column sums, so that few entries do not decide:
    an update seen in bfloat16 is mostly zeros.
    """
    squares = (matrix / frobenius(matrix)).square()
    height, width = squares.sum(dim=1), squares.sum(dim=0)
    rows, columns = (height > 0).float(), (width > 0).float()
    known = (squares.count_nonzero() / (rows.sum() * columns.sum())).item()
    rows, columns = rows / rows.sum(), columns / columns.sum()
    first = rows
    for _ in range(SCALE_ROUNDS):
        sums = known * (first @ squares) + (1 - known) * (first @ height) * width
        second, before = quotient(columns, sums), first
        sums = known * (squares @ second) + (1 - known) * (second @ width) * height
        first = quotient(rows, sums)
        if torch.allclose(first, before, rtol=SCALE_TOLERANCE, atol=0):
            break
    return quotient(first > 0, first.sqrt()), quotient(second > 0, second.sqrt())


def quotient(value: torch.Tensor, by: torch.Tensor) -> torch.Tensor:
    """value / by, zero where `by` is."""
    return torch.where(by > 0, value / by, 0)


NULLS: dict[str, Null] = {
    "gaussian": gaussian,
    "shuffled": shuffled,
    "scale_matched": scale_matched,
    "sign_flipped": sign_flipped,
}


def rounded(
    matrix: torch.Tensor, base: torch.Tensor, generator: torch.Generator
) -> torch.Tensor:
    """What checkpoints in bfloat16 show of a random walk of equal norm from the base.

    The sum of all steps of the walk is Gaussian, with the matrix's norm before the
    rounding; both ends [m, n] are rounded. Bind `base` to use it as a null.
    """
    if base.shape != matrix.shape:
        raise UserError(
            f"Found a base of {tuple(base.shape)} for an update of "
            f"{tuple(matrix.shape)}; expected the weights that the update belongs to."
        )
    start = base.to(matrix)
    end = (start + gaussian(matrix, generator)).bfloat16()
    return end.float() - start.bfloat16().float()


def haar(rows: int, columns: int, generator: torch.Generator) -> torch.Tensor:
    """A matrix [rows, columns] with orthonormal columns, uniform (Haar) among all.

    QR of a Gaussian. Its signs depend on the algorithm; those of the triangle's
    diagonal make up for it (Mezzadri, 2007, "How to generate random matrices from the
    classical compact groups").
    """
    gaussian = torch.randn(rows, columns, generator=generator)
    vectors, triangle = torch.linalg.qr(gaussian)
    return vectors * triangle.diagonal().sign()


def bulk_matched(update: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """A matrix [out, in] with all singular values of the update and random vectors.

    An SVD is not needed. For a tall update [m, n] the triangle R of its QR [n, n] has
    the same singular values; L R Q with Haar-random L [m, n] and Q [n, n] keeps them,
    and turns the singular vectors on both sides into uniform ones, independent of the
    update's. Three QRs and two products: about 11 n^3 operations where m = n.
    """
    if update.shape[0] < update.shape[1]:
        return bulk_matched(update.T, generator).T
    triangle = torch.linalg.qr(update, mode="r")[1]
    rows, columns = update.shape
    left = haar(rows, columns, generator) @ triangle
    return left @ haar(columns, columns, generator)
