"""Singular triplets with a certificate, and all singular values with an error bound.

Conventions: sigma in descending order; the largest entry of every left vector is
positive, the first of them where several are equally large. The same matrix, rank, seed
and number of threads give the same bytes.

Every triplet has the relative residual max(||A v - s u||, ||A' u - s v||) / s, measured
on the matrix itself. It says that s is within residual * s of a singular value. How
far the direction can be from the true one also depends on how far the neighbouring
singular values are: the sine of the angle is at most residual / gap (Wedin, 1972).
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch

# Below this relative gap a direction may turn freely under perturbations of the size
# of float32 rounding and bfloat16 rollouts: it is not reported as a direction.
MINIMUM_GAP = 0.02
# Largest relative residual, and largest sine of the angle of an identifiable direction.
TOLERANCE = 1e-3
# More vectors than wanted: they find repeated values, and the gap after the last one.
GUARD = 5
# A Krylov basis beyond this share of the short side costs more than the exact route.
BASIS_SHARE, BASIS_LIMIT = 0.4, 640
# Singular values below this share of the first are rounding in float32.
RESOLUTION = 8 * torch.finfo(torch.float32).eps
VALUES_TOLERANCE = 1e-5
# Squares of larger or smaller powers of two come near the range of float32.
EXPONENTS = 40
CHUNK = 1024
# Entries that stay in a core's cache between two products.
CACHED = 2**20
# How much larger the basis gets before the Ritz values are looked at again.
GROWTH = 1.2


@dataclass(frozen=True)
class Factors:
    """Leading singular triplets of one update.

    `left` [out, k], `sigma` [k], `right` [k, in], float32; `norm` is the exact
    Frobenius norm of the whole update. `residual` [k] is relative to sigma; `gap` [k]
    is a lower bound of the distance to the nearest other singular value, relative to
    sigma.
    """

    left: torch.Tensor
    sigma: torch.Tensor
    right: torch.Tensor
    norm: float
    residual: torch.Tensor
    gap: torch.Tensor

    @property
    def identifiable(self) -> torch.Tensor:
        """[k] bool: the gap is large enough, and the direction known well enough."""
        return (self.gap >= MINIMUM_GAP) & (self.residual <= TOLERANCE * self.gap)

    def part(self, rank: int) -> torch.Tensor:
        """The best approximation of the update with that rank [out, in]."""
        left, right = self.left[:, :rank], self.right[:rank]
        return (left * self.sigma[:rank]) @ right


def leading(matrix: torch.Tensor, rank: int, seed: int = 0) -> Factors:
    """Leading `rank` triplets of a float32 matrix [out, in], certified.

    A block Krylov method (Musco and Musco, 2015) that goes on until every triplet meets
    TOLERANCE and every gap is decided; where it would cost more than the exact route,
    or the residuals on the matrix itself do not confirm it, exact() decides. `rank` is
    cut to the short side.
    """
    return factorise(matrix, rank, lambda tall, k: krylov(tall, k, seed))


def exact(matrix: torch.Tensor, rank: int) -> Factors:
    """Leading `rank` triplets of a float32 matrix from its Gram matrix in float64."""
    return factorise(matrix, rank, lambda tall, k: None)


def factorise(matrix: torch.Tensor, rank: int, search: Callable) -> Factors:
    """Factors from the basis that `search` finds, else from the exact one."""
    rank, norm = min(rank, *matrix.shape), frobenius(matrix)
    if norm == 0:
        return zero(matrix, rank)
    wide = matrix.shape[0] < matrix.shape[1]
    tall, unit = rescale(matrix.T if wide else matrix, norm)
    basis = search(tall, rank)
    found = None if basis is None else restricted(tall, basis)
    if found is None or not certified(*found[1::2], rank):
        found = restricted(tall, eigenbasis(tall, rank + GUARD))
    left, sigma, right, error = found
    if wide:
        left, right = right, left
    return assemble(left.T, sigma * unit, right, error * unit, norm, rank)


def low_rank(left: torch.Tensor, right: torch.Tensor, rank: int) -> Factors:
    """Leading triplets of left [out, r] @ right [r, in], never forming the product.

    QR of both factors and the SVD of the r x r core, in float64.
    """
    first, upper = torch.linalg.qr(left.double())
    second, lower = torch.linalg.qr(right.double().T)
    turn, sigma, back = torch.linalg.svd(upper @ lower.T)
    outer, inner = first @ turn, back @ second.T
    error = torch.finfo(torch.float32).eps * sigma
    norm = torch.linalg.vector_norm(sigma).item()
    return assemble(outer, sigma, inner, error, norm, min(rank, len(sigma)))


def assemble(
    left: torch.Tensor,
    sigma: torch.Tensor,
    right: torch.Tensor,
    error: torch.Tensor,
    norm: float,
    rank: int,
) -> Factors:
    """Factors of the first `rank` of these triplets with residual norms `error`."""
    gap = sigma.new_tensor(gaps(sigma.tolist(), error.tolist()))[:rank]
    residual = (error / sigma.clamp(min=torch.finfo(sigma.dtype).tiny)).clamp(max=1)
    left, right = fix_signs(left[:, :rank].float(), right[:rank].float())
    parts = (left, sigma[:rank].float(), right)
    numbers = (residual[:rank].float(), gap.float())
    return Factors(
        *(part.contiguous() for part in parts), norm, *(n.clone() for n in numbers)
    )


def zero(matrix: torch.Tensor, rank: int) -> Factors:
    """The factors of a zero matrix: unit vectors that mean nothing."""
    rows, columns = matrix.shape
    left, right = torch.eye(rows, rank), torch.eye(rank, columns)
    nothing = [torch.zeros(rank) for _ in range(3)]
    parts = [part.to(matrix.device) for part in (left, nothing[0], right, *nothing[1:])]
    return Factors(*parts[:3], 0.0, *parts[3:])


def fix_signs(left: torch.Tensor, right: torch.Tensor) -> tuple:
    """Make the largest entry of each left vector positive."""
    columns = torch.arange(left.shape[1], device=left.device)
    signs = left[left.abs().argmax(0), columns].sign()
    signs = torch.where(signs == 0, torch.ones_like(signs), signs)
    return left * signs, right * signs[:, None]


def frobenius(matrix: torch.Tensor) -> float:
    """Frobenius norm: rows in float32, their sum in float64.

    All in float64, several times slower, where float32 squares would not do.
    """
    rows = matrix.T if matrix.stride(0) == 1 else matrix
    norm = torch.linalg.vector_norm(rows, dim=1).double().norm().item()
    if 2.0**-EXPONENTS < norm < 2.0**EXPONENTS:
        return norm
    return torch.linalg.vector_norm(matrix, dtype=torch.float64).item()


def rescale(matrix: torch.Tensor, norm: float) -> tuple[torch.Tensor, float]:
    """The matrix over a power of two, if its squares would overflow or vanish."""
    exponent = math.frexp(norm)[1]
    if abs(exponent) < EXPONENTS:
        return matrix, 1.0
    # In two halves: the power itself may not be a float32 number.
    half = exponent // 2
    return matrix * 2.0**-half * 2.0 ** (half - exponent), 2.0**exponent


def gaps(sigma: list[float], error: list[float]) -> list[float]:
    """Lower bounds of the relative gaps of singular values in descending order.

    A true value may lie up to its `error` above, as Ritz values approach from below.
    After the last one comes 0.
    """
    found, below = [], [s + e for s, e in zip(sigma[1:], error[1:], strict=True)]
    for i, (value, after) in enumerate(zip(sigma, [*below, 0.0], strict=True)):
        before = sigma[i - 1] - error[i] if i else math.inf
        gap = min(before - value, value - after)
        found.append(max(gap, 0.0) / value if value > 0 else 0.0)
    return found


def restricted(tall: torch.Tensor, basis: torch.Tensor) -> tuple:
    """Triplets of a matrix [m, n] within an orthonormal basis [k, n] of directions.

    Returns left [k, m], sigma [k] float64, right [k, n] and the norms [k] of their
    residuals, measured on the matrix. The matrix is not squared, so small singular
    values are as accurate as large ones.
    """
    image = basis @ tall.T
    frame, small = torch.linalg.qr(image.T)
    turn, sigma, back = torch.linalg.svd(small.double())
    left, right = turn.T.float() @ frame.T, back.float() @ basis
    scaled = sigma.float()[:, None]
    error = torch.maximum(
        torch.linalg.vector_norm(back.float() @ image - scaled * left, dim=1),
        torch.linalg.vector_norm(left @ tall - scaled * right, dim=1),
    )
    return left, sigma, right, error.double()


def certified(sigma: torch.Tensor, error: torch.Tensor, rank: int) -> bool:
    """Whether residuals [d] meet TOLERANCE or are at the level of rounding."""
    allowed = (TOLERANCE * sigma).clamp(min=RESOLUTION * sigma[0].item())
    return bool((error <= allowed)[:rank].all())


def krylov(tall: torch.Tensor, rank: int, seed: int) -> torch.Tensor | None:
    """Orthonormal basis [k, n] of the leading right directions of a matrix [m, n].

    None as soon as the exact route is the cheaper one. The basis grows by blocks and is
    orthogonalised twice, since float32 loses orthogonality; the projected Gram matrix
    is kept in float64. Vectors are rows: BLAS multiplies a few rows by a large matrix
    several times faster than a large matrix by a few columns.
    """
    columns, block = tall.shape[1], rank + GUARD
    limit = min(int(BASIS_SHARE * columns), BASIS_LIMIT)
    basis = tall.new_empty(limit, columns)
    gram = torch.zeros(limit, limit, dtype=torch.float64)
    generator = torch.Generator().manual_seed(seed)
    start = torch.randn(block, columns, generator=generator).to(tall.device)
    fresh, looked = orthonormal(start)[0], 0
    for used in range(block, limit + 1, block):
        basis[used - block : used] = fresh
        known = basis[:used]
        image = through_gram(fresh, tall)
        part = image @ known.T
        gram[used - block : used, :used] = part
        gram[:used, used - block : used] = part.T
        fresh, coupling = orthonormal(image - part @ known)
        if used >= GROWTH * looked:
            looked = used
            values, vectors = torch.linalg.eigh(gram[:used, :used])
            values, vectors = values.flip(0).clamp(min=0), vectors.flip(1)
            last = coupling.to(gram) @ vectors[used - block :]
            if settled(values, torch.linalg.vector_norm(last, dim=0), rank):
                return vectors[:, :block].T.to(known) @ known
        fresh = orthonormal(fresh - (fresh @ known.T) @ known)[0]
    return None


def through_gram(rows: torch.Tensor, tall: torch.Tensor) -> torch.Tensor:
    """rows [k, n] @ A' @ A, with one pass through a large matrix [m, n], not two.

    (Two passes are faster where the rows of A are not contiguous.)
    """
    total, size = rows.new_zeros(rows.shape), len(tall)
    if tall.stride(1) == 1:
        size = max(CACHED // tall.shape[1], 1)
    for part in tall.split(size):
        total.addmm_(rows @ part.T, part)
    return total


def orthonormal(rows: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Orthonormal rows Q [b, n] and a triangle R [b, b] with rows = R' Q."""
    vectors, triangle = torch.linalg.qr(rows.T)
    return vectors.T, triangle


def settled(values: torch.Tensor, error: torch.Tensor, rank: int) -> bool:
    """Whether the first `rank` Ritz pairs of the Gram matrix need no more steps.

    `values` [d] are squared singular values and `error` [d] the residuals of the Gram
    matrix. Either a residual is at the level of rounding, or it meets TOLERANCE,
    relative to sigma and, for an identifiable direction, to its gap; and it is decided
    whether the direction is identifiable. (Plain numbers: tensors this small would
    take longer than the products.)
    """
    squares, norms = values[: rank + 1].tolist(), error[: rank + 1].tolist()
    sigma = [math.sqrt(value) for value in squares]
    error = [n / s if s > 0 else 0.0 for n, s in zip(norms, sigma, strict=True)]
    low, high = gaps(sigma, error), gaps(sigma, [0.0] * len(sigma))
    for i in range(rank):
        identifiable = low[i] >= MINIMUM_GAP
        allowed = TOLERANCE * sigma[i] * (min(low[i], 1.0) if identifiable else 1.0)
        decided = identifiable or high[i] < MINIMUM_GAP
        rounding = norms[i] <= RESOLUTION * squares[0]
        if not (rounding or (decided and error[i] <= allowed)):
            return False
    return True


def gram_matrix(tall: torch.Tensor) -> torch.Tensor:
    """The upper triangle of A' A in float64 [n, n]; below it nothing is promised.

    There is no float64 copy of the whole matrix.
    """
    total = tall.new_zeros((tall.shape[1],) * 2, dtype=torch.float64)
    for rows in tall.split(CHUNK):
        part = rows.double()
        for start in range(0, len(total), CHUNK):
            block = part[:, start : start + CHUNK]
            total[start : start + CHUNK, start:].addmm_(block.T, part[:, start:])
    return total


def eigenbasis(tall: torch.Tensor, count: int) -> torch.Tensor:
    """The `count` leading right singular vectors [count, n] by an exact method."""
    vectors = torch.linalg.eigh(gram_matrix(tall), UPLO="U")[1]
    return vectors.T.flip(0)[:count].float()


def singular_values(matrix: torch.Tensor) -> tuple[torch.Tensor, float]:
    """All singular values [min(out, in)], float64, descending, and their error bound.

    The bound is relative to the first: eigenvalues of the Gram matrix in float64 are
    within (m + n) eps of it, and the square root turns that into sqrt((m + n) eps) for
    the smallest values (far less for large ones). Where this exceeds VALUES_TOLERANCE,
    or the eigenvalues do not add up to the energy, `svdvals` in float64 decides.
    """
    wide = matrix.shape[0] < matrix.shape[1]
    tall, unit = rescale(matrix.T if wide else matrix, frobenius(matrix))
    eps = torch.finfo(torch.float64).eps
    bound, energy = math.sqrt(sum(matrix.shape) * eps), frobenius(tall) ** 2
    if bound <= VALUES_TOLERANCE:
        found = torch.linalg.eigvalsh(gram_matrix(tall), UPLO="U")
        squares = found.flip(0).clamp(min=0)
        if abs(squares.sum().item() - energy) <= bound * energy:
            return squares.sqrt() * unit, bound
    return torch.linalg.svdvals(tall.double()) * unit, sum(matrix.shape) * eps
