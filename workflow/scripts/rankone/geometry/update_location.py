"""Anatomy of an update: which entries change, and how it lies to the base's spectrum.

The update of a matrix is D = W_t - W_0, all [out, in] float32. Every statistic has what
chance would give beside it, since most of them are far from zero by chance. Besides
the uniform one there are three nulls for what can fake an effect:

- noise: a Gaussian matrix with the Frobenius norm of the update;
- signs: the update with random signs, which keeps the size and place of its entries;
- margin: changed entries independent of everything but their margin, how far an entry
  of W_0 must move to count as changed. In bfloat16 small changes of large weights, or
  of weights far from the edge of their rounding cell, are not seen. That alone makes
  masks of changed entries resemble each other, avoid the base's large entries, and
  have stripes.

Sources: The Path Not Taken (arXiv 2511.08567) for masks, stripes, spectrum drift and
rotation; RL Finetunes Small Subnetworks (arXiv 2505.11711) for absolute sparsity and
overlap; Mirsky, Quart. J. Math. 11 (1960) 50 and Wedin, BIT 12 (1972) 99 for bounds;
Mantel and Haenszel, JNCI 22 (1959) 719 for overlap within strata. The nulls signs and
margin are ours.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pandas as pd
import torch
from scipy.linalg import subspace_angles
from tqdm import tqdm

from rankone.linalg.random_matrices import noise_of_norm
from rankone.linalg.svd import frobenius, gram_matrix, leading, restricted
from rankone.names import arm_of
from rankone.seeding import random_generator
from rankone.statistics.marchenko_pastur import noise_norm_share
from rankone.weights.checkpoints import WeightMap, read
from rankone.weights.updates import VIEWS, locate, matrix_key, read_trained

# Less than half a bfloat16 step: in bfloat16 "unchanged" is bitwise equality.
ETA = 1e-3
THRESHOLD = 1e-5
# Share of the entries in the principal and low-magnitude masks.
ALPHA = 0.5
# Strata of the margin: 2^4 = 16 in each power of two, down to 2^-16 of the largest
# entry. In a rounded view the cells of one power of two have one size; there the place
# in the cell counts, 8 for each halving of the distance to its edge, down to 2^-12.
FINENESS, DEPTH = 4, 16
CELL_FINENESS, CELL_DEPTH = 3, 12
MANTISSA = 23  # bits of float32


@dataclass(frozen=True)
class Spectrum:
    """All singular values of a weight, and its leading singular subspaces.

    `left` [out, k] and `right` [k, in] float32, orthonormal; `sigma` [min(out, in)]
    float64, descending.
    """

    left: torch.Tensor
    sigma: torch.Tensor
    right: torch.Tensor

    @property
    def rank(self) -> int:
        """Dimension k of the subspaces."""
        return self.left.shape[1]


def spectrum(weight: torch.Tensor, rank: int) -> Spectrum:
    """Spectrum of a weight [out, in] with `rank` directions, cut to the short side.

    From the Gram matrix in float64; values have the error of svd.singular_values().
    """
    wide = weight.shape[0] < weight.shape[1]
    tall = weight.T if wide else weight
    squares, vectors = torch.linalg.eigh(gram_matrix(tall), UPLO="U")
    basis = vectors.T.flip(0)[:rank].float()
    left, _, right, _ = restricted(tall, basis)
    if wide:
        left, right = right, left
    return Spectrum(left.T, squares.flip(0).clamp(min=0).sqrt(), right)


def in_view(
    base: torch.Tensor, trained: torch.Tensor, dtype: torch.dtype
) -> tuple[torch.Tensor, torch.Tensor]:
    """Both weights as a checkpoint in `dtype` would show them, float32."""
    return base.to(dtype).float(), trained.to(dtype).float()


def divide(first: float, second: float) -> float:
    """The quotient; NaN where the denominator is zero."""
    return float(first / second) if second else math.nan


# Sparsity


def unchanged(
    base: torch.Tensor, trained: torch.Tensor, eta: float = ETA
) -> torch.Tensor:
    """Mask [out, in]: |w' - w| <= eta max(|w|, |w'|) (The Path Not Taken)."""
    return (trained - base).abs() <= eta * torch.maximum(base.abs(), trained.abs())


def small(update: torch.Tensor, threshold: float = THRESHOLD) -> torch.Tensor:
    """Mask [out, in]: |d| < threshold (RL Finetunes Small Subnetworks)."""
    return update.abs() < threshold


def sparsity(mask: torch.Tensor) -> float:
    """Share of the entries of a mask that are true."""
    return mask.sum().item() / mask.numel()


# Strata of equal margin


def octaves(size: torch.Tensor, fineness: int) -> torch.Tensor:
    """The logarithm of float32 sizes >= 0 in steps of 2^-fineness octaves, int32."""
    return size.view(torch.int32) >> (MANTISSA - fineness)


def margin_strata(
    base: torch.Tensor, dtype: torch.dtype = torch.float32
) -> torch.Tensor:
    """Labels [out, in] int32: entries with one label have about the same margin.

    `base` is W_0 as it is stored, `dtype` that of the view. In float32 the margin is a
    share of |w|. In a rounded view it is the distance to the edge of the rounding cell,
    on both sides: the labels go by the size of the cell and the place in it.
    """
    size = base.abs()
    if dtype is torch.float32:
        return below(octaves(size, FINENESS), DEPTH << FINENESS)
    seen = size.to(dtype).float()
    # Of the power of two below w: its step, though w may be rounded to the next one.
    power = (octaves(size, 0) << MANTISSA).view(torch.float32)
    half = power * (torch.finfo(dtype).eps / 2)
    near = half - (size - seen).abs()
    # Below a power of two the cells are half as large.
    lower = torch.where(seen == power, half / 2 + size - seen, half)
    near = torch.minimum(near, lower).clamp(min=0)
    depth = octaves(half, CELL_FINENESS) - octaves(near, CELL_FINENESS)
    cells = CELL_DEPTH << CELL_FINENESS
    return cells * below(octaves(size, 0), DEPTH) + depth.clamp(0, cells - 1)


def below(level: torch.Tensor, depth: int) -> torch.Tensor:
    """Levels counted from `depth` levels below the highest; 0 for all further below."""
    return (level - level.max() + depth).clamp(min=0)


def per_stratum(
    mask: torch.Tensor, strata: torch.Tensor | None
) -> tuple[torch.Tensor, torch.Tensor]:
    """Entries [rows, S] of each row in each stratum, and true ones [S], float64."""
    rows, columns = mask.shape
    if strata is None:
        sizes = torch.full((rows, 1), columns, device=mask.device)
        return sizes.double(), mask.sum().reshape(1).double()
    kinds = int(strata.max()) + 1
    offset = kinds * torch.arange(rows, dtype=torch.int32, device=mask.device)
    labels = (strata + offset[:, None]).flatten()
    sizes = torch.bincount(labels, minlength=rows * kinds).reshape(rows, kinds)
    return sizes.double(), torch.bincount(strata[mask], minlength=kinds).double()


# Overlap of masks


def contingency(
    first: torch.Tensor, second: torch.Tensor, strata: torch.Tensor | None = None
) -> np.ndarray:
    """Counts [S, 2, 2] of the entries by stratum, `first` and `second`, float64."""
    code, kinds = 2 * first.int() + second.int(), 1
    if strata is not None:
        code, kinds = code + 4 * strata, int(strata.max()) + 1
    counts = torch.bincount(code.flatten(), minlength=4 * kinds)
    return counts.reshape(kinds, 2, 2).double().cpu().numpy()


def independent_overlap(table: np.ndarray) -> tuple[float, float]:
    """Mean and variance of |A & B| for masks that are independent within strata.

    Hypergeometric: the sizes of both masks in each stratum are as counted, the places
    uniform.
    """
    total = table.sum(axis=(1, 2))
    first, second = table[:, 1].sum(axis=1), table[:, :, 1].sum(axis=1)
    expected = first * second / np.maximum(total, 1)
    missing = (total - first) * (total - second)
    variance = expected * missing / np.maximum(total * (total - 1), 1)
    return float(expected.sum()), float(variance.sum())


def overlap_statistics(table: np.ndarray) -> dict[str, float]:
    """How two masks overlap, e.g. the changed entries of two runs.

    `table` [S, 2, 2] has the counts of contingency(). `jaccard` is |A & B| / |A | B|,
    `first_in_second` |A & B| / |A|, each with its value for independent masks of the
    same densities p and q: pq / (p + q - pq), and q. `overlap_z` is the excess of
    |A & B| in hypergeometric standard deviations. With strata, from margin_strata() of
    the base, the null is independence within strata. z takes entries for independent:
    stripes that two masks share raise it as well. As strata have a width, z of pure
    noise is up to 0.4 too high at a million entries, and this grows with the root of
    their number; look at the excess of `jaccard` over its null too. NaN where a mask is
    empty, z also where one is full.
    """
    both = table[:, 1, 1].sum()
    first, second = table[:, 1].sum(), table[:, :, 1].sum()
    expected, variance = independent_overlap(table)
    return {
        "jaccard": divide(both, first + second - both),
        "jaccard_null": divide(expected, first + second - expected),
        "first_in_second": divide(both, first),
        "first_in_second_null": divide(expected, first),
        "second_in_first": divide(both, second),
        "second_in_first_null": divide(expected, second),
        "overlap_z": divide(both - expected, math.sqrt(variance)),
    }


# Stripes


def stripe_index(
    mask: torch.Tensor, strata: torch.Tensor | None = None
) -> tuple[float, float]:
    """Variance of the row ratios over that of independent entries, and its z.

    The mean of the index is exactly 1 for true entries placed uniformly, or uniformly
    within `strata`: the binomial variance with the correction for a known total. z
    is its excess in standard deviations, taking counts for normal; where a row has less
    than a few true entries that is slightly too wide. Transpose mask and strata for
    columns. NaN where all or no entries are true.
    """
    sizes, true = per_stratum(mask, strata)
    total = sizes.sum(0)
    share = true / total.clamp(min=1)
    spread = share * (1 - share) / (total - 1).clamp(min=1)
    variance = (sizes * (total - sizes)) @ spread
    expected = variance.sum().item()
    squares = (mask.sum(1).double() - sizes @ share).square().sum().item()
    rows = len(mask)
    deviation = math.sqrt(2 * rows / max(rows - 1, 1)) * variance.norm().item()
    return divide(squares, expected), divide(squares - expected, deviation)


# Principal and low-magnitude entries


def largest(matrix: torch.Tensor, alpha: float) -> torch.Tensor:
    """Mask of the share `alpha` of entries with the largest magnitude; ties are in.

    Raises ValueError unless 0 < alpha < 1.
    """
    if not 0 < alpha < 1:
        raise ValueError(f"alpha = {alpha}: expected a share between 0 and 1")
    size = matrix.abs()
    count = max(round(alpha * size.numel()), 1)
    return size >= size.flatten().kthvalue(size.numel() - count + 1).values


def principal_mask(base: Spectrum, alpha: float = ALPHA) -> torch.Tensor:
    """Mask [out, in] of the largest entries of the rank-k part of W_0."""
    scaled = base.left * base.sigma[: base.rank].to(base.left)
    return largest(scaled @ base.right, alpha)


def low_magnitude_mask(base: torch.Tensor, alpha: float = ALPHA) -> torch.Tensor:
    """Mask [out, in] of the smallest entries of W_0; ties are out."""
    return ~largest(base, 1 - alpha)


# Spectrum


def spectrum_drift(before: torch.Tensor, after: torch.Tensor) -> float:
    """||sigma(W_t) - sigma(W_0)|| / ||sigma(W_0)||, from all singular values [d].

    At most ||D||_F / ||W_0||_F (Mirsky).
    """
    change = torch.linalg.vector_norm(after - before).item()
    return divide(change, torch.linalg.vector_norm(before).item())


def rotation(before: Spectrum, after: Spectrum) -> tuple[np.ndarray, np.ndarray]:
    """Principal angles [k] between the left and between the right subspaces.

    Radians, ascending. Small ones come from their sines (Bjorck and Golub, 1973), as
    cosines in float32 do not resolve angles below 1e-3.
    """
    left = (side.left.double().cpu().numpy() for side in (before, after))
    right = (side.right.T.double().cpu().numpy() for side in (before, after))
    return np.sort(subspace_angles(*left)), np.sort(subspace_angles(*right))


def separation(before: torch.Tensor, after: torch.Tensor, rank: int) -> float:
    """Wedin's gap: sigma_k of one matrix minus sigma_k+1 of the other; the larger one.

    Of a matrix and itself it is the paper's gap_k = sigma_k - sigma_k+1.
    """
    first, second = (torch.cat([s, s.new_zeros(1)]) for s in (before, after))
    gaps = first[rank - 1] - second[rank], second[rank - 1] - first[rank]
    return max(gap.item() for gap in gaps)


def rotation_bound(
    before: torch.Tensor, after: torch.Tensor, rank: int, norm: float
) -> float:
    """Largest angle (radians) of an update with the spectral norm `norm`.

    The sine is at most ||D||_2 / separation() (Wedin). The paper's ||D||_2 / gap_k
    takes both singular values from W_0: the sine may exceed it, never twice of it.
    """
    gap = separation(before, after, rank)
    return math.asin(norm / gap) if gap > norm else math.pi / 2


# Energy of the update in the base's leading subspaces


def energy_share(part: torch.Tensor, whole: torch.Tensor) -> float:
    """||part||_F^2 / ||whole||_F^2; NaN where the whole is zero."""
    return divide(frobenius(part), frobenius(whole)) ** 2


def principal_share(
    update: torch.Tensor, left: torch.Tensor, right: torch.Tensor
) -> float:
    """||U U' D V V'||_F^2 / ||D||_F^2 for `left` U [out, k] and `right` V' [k, in].

    By chance k^2 / (out in).
    """
    return energy_share(left.T @ update @ right.T, update)


def left_share(update: torch.Tensor, left: torch.Tensor) -> float:
    """||U U' D||_F^2 / ||D||_F^2 for `left` U [out, k]; by chance k / out."""
    return energy_share(left.T @ update, update)


def right_share(update: torch.Tensor, right: torch.Tensor) -> float:
    """||D V V'||_F^2 / ||D||_F^2 for `right` V' [k, in]; by chance k / in."""
    return energy_share(update @ right.T, update)


def sign_flipped_shares(
    update: torch.Tensor, left: torch.Tensor, right: torch.Tensor
) -> tuple[float, float, float]:
    """Mean principal, left and right share of the update with random signs.

    Exact: the sum over entries of their energy times the leverages, which are the
    squared norms of the rows of `left` [out, k] and of the columns of `right` [k, in].
    """
    norm = frobenius(update)
    if norm == 0:
        return math.nan, math.nan, math.nan
    energy = (update / norm).square()
    rows, columns = left.square().sum(1), right.square().sum(0)
    along = energy @ columns
    shares = rows @ along, rows @ energy.sum(1), along.sum()
    return tuple(share.item() for share in shares)


def share_z(share: float, inside: int, total: int) -> float:
    """Excess of an energy share in standard deviations of that of Gaussian noise.

    Of `total` dimensions `inside` count: a law Beta(inside / 2, (total - inside) / 2).
    """
    variance = 2 * inside * (total - inside) / (total**2 * (total + 2))
    return divide(share - inside / total, math.sqrt(variance))


# One row of statistics


def size_statistics(base: torch.Tensor, update: torch.Tensor) -> dict[str, float]:
    """Norms; the null of the spectral norm is that of Gaussian noise of this norm."""
    norm = frobenius(update)
    return {
        "frobenius_norm": norm,
        "relative_size": divide(norm, frobenius(base)),
        "spectral_norm": leading(update, 1).sigma[0].item(),
        "spectral_norm_null": norm * noise_norm_share(*update.shape),
    }


def sparsity_statistics(
    base: torch.Tensor, trained: torch.Tensor, noisy: torch.Tensor
) -> dict[str, float]:
    """Both sparsities; the null is the base with noise, in the same view."""
    return {
        "sparsity": sparsity(unchanged(base, trained)),
        "sparsity_null": sparsity(unchanged(base, noisy)),
        "sparsity_absolute": sparsity(small(trained - base)),
        "sparsity_absolute_null": sparsity(small(noisy - base)),
    }


def stripe_statistics(
    changed: torch.Tensor, strata: torch.Tensor, name: str
) -> dict[str, float]:
    """Stripe indices of the rows, uniform and given the margin; 1 means none."""
    index, z = stripe_index(changed)
    given, given_z = stripe_index(changed, strata)
    return {
        name: index,
        f"{name}_null": 1.0,
        f"{name}_z": z,
        f"{name}_given_margin": given,
        f"{name}_given_margin_null": 1.0,
        f"{name}_given_margin_z": given_z,
    }


def magnitude_statistics(
    changed: torch.Tensor, mask: torch.Tensor, strata: torch.Tensor, name: str
) -> dict[str, float]:
    """|mask & changed| / |changed|: by chance the density of the mask.

    Of the low-magnitude mask the margin decides all in float32, but for one stratum, on
    which z rests; it is NaN where nothing varies there.
    """
    table = contingency(changed, mask, strata)
    plain = overlap_statistics(table.sum(axis=0, keepdims=True))
    given = overlap_statistics(table)
    return {
        name: plain["first_in_second"],
        f"{name}_null": plain["first_in_second_null"],
        f"{name}_z": plain["overlap_z"],
        f"{name}_margin_null": given["first_in_second_null"],
        f"{name}_margin_z": given["overlap_z"],
    }


def mask_statistics(
    base: torch.Tensor,
    known: Spectrum,
    changed: torch.Tensor,
    strata: torch.Tensor,
    alpha: float,
) -> dict[str, float]:
    """Stripes of the changed entries and their overlap with the masks of the base."""
    principal, low = principal_mask(known, alpha), low_magnitude_mask(base, alpha)
    masks = {
        "principal_overlap": principal,
        "principal_not_low_overlap": principal & ~low,
        "low_magnitude_overlap": low,
    }
    row = stripe_statistics(changed, strata, "row_stripes")
    row |= stripe_statistics(changed.T, strata.T, "column_stripes")
    for name, mask in masks.items():
        row |= magnitude_statistics(changed, mask, strata, name)
    return row


def rotation_statistics(
    known: Spectrum, after: Spectrum, ending: str = ""
) -> dict[str, float]:
    """Largest and mean principal angle of both sides."""
    row = {}
    for side, angles in zip(("left", "right"), rotation(known, after), strict=True):
        row[f"rotation_{side}{ending}"] = float(angles[-1])
        row[f"rotation_{side}_mean{ending}"] = float(angles.mean())
    return row


def drift_statistics(
    known: Spectrum, after: Spectrum, null: Spectrum, size: dict[str, float]
) -> dict[str, float]:
    """Drift and rotation of the spectrum beside their bounds and those under noise."""
    rank, norm = known.rank, size["spectral_norm"]
    return {
        "spectrum_drift": spectrum_drift(known.sigma, after.sigma),
        "spectrum_drift_null": spectrum_drift(known.sigma, null.sigma),
        "spectrum_drift_bound": size["relative_size"],
        **rotation_statistics(known, after),
        **rotation_statistics(known, null, "_null"),
        "rotation_bound": rotation_bound(known.sigma, after.sigma, rank, norm),
        "wedin_ratio": divide(norm, separation(known.sigma, known.sigma, rank)),
    }


def share_statistics(update: torch.Tensor, known: Spectrum) -> dict[str, float]:
    """Energy of the update in the base's leading subspaces beside chance and signs."""
    (rows, columns), rank = update.shape, known.rank
    left, right, total = known.left, known.right, update.numel()
    shares = {
        "principal_share": (principal_share(update, left, right), rank * rank),
        "left_share": (left_share(update, left), rank * columns),
        "right_share": (right_share(update, right), rank * rows),
    }
    flipped = sign_flipped_shares(update, left, right)
    row = {}
    for (name, (share, inside)), signs in zip(shares.items(), flipped, strict=True):
        row |= {name: share, f"{name}_null": inside / total}
        row |= {f"{name}_z": share_z(share, inside, total), f"{name}_sign_null": signs}
    return row


def location_statistics(
    base: torch.Tensor,
    trained: torch.Tensor,
    known: Spectrum,
    generator: torch.Generator,
    dtype: torch.dtype = torch.float32,
    alpha: float = ALPHA,
) -> dict[str, float]:
    """Every statistic of one matrix in one view, each with its nulls beside it.

    `base` and `trained` [out, in] are float32 as stored; `known` is the spectrum() of
    the base in the same view, rounded first, computed once for all steps. Its rank is
    k. `generator` (CPU) draws the one noise matrix. Names end in `_null` for chance or
    noise, `_sign_null`, `_margin_null` or `_bound`, and `_z`; angles are radians. NaN
    where something is not defined, as the place of the changes of a zero update.
    Raises ValueError if the shapes differ.
    """
    if base.shape != trained.shape or len(known.sigma) != min(base.shape):
        raise ValueError(
            f"base {tuple(base.shape)}, trained {tuple(trained.shape)}, "
            f"{len(known.sigma)} singular values: expected those of one shape"
        )
    strata, drawn = margin_strata(base, dtype), noise_of_norm(base, 1.0, generator)
    _, noisy = in_view(base, base + frobenius(trained - base) * drawn, dtype)
    base, trained = in_view(base, trained, dtype)
    update, changed = trained - base, ~unchanged(base, trained)
    size = size_statistics(base, update)
    # The noise of the spectrum has the norm that the update has in this view.
    null = spectrum(base + size["frobenius_norm"] * drawn, known.rank)
    return {
        **size,
        **sparsity_statistics(base, trained, noisy),
        **mask_statistics(base, known, changed, strata, alpha),
        **drift_statistics(known, spectrum(trained, known.rank), null, size),
        **share_statistics(update, known),
    }


# All matrices of a step


OVERLAP_COLUMNS = [
    *("run", "other", "layer", "module", "tensor", "view"),
    *("jaccard", "jaccard_null", "overlap_z", "jaccard_margin_null", "margin_z"),
]


def examine(base: WeightMap, trained: WeightMap, rank: int, label: str) -> pd.DataFrame:
    """location_statistics() of every matrix in both views.

    They are beside the base's `rank` leading directions.
    """
    rows = []
    names = sorted(filter(locate, base))
    for name in tqdm(names, desc=f"Anatomy of {label}", mininterval=1):
        start, end = read(base, name), read_trained(base, trained, name)
        key = matrix_key(name) | {"tensor": name}
        for view, dtype in VIEWS.items():
            known = spectrum(start.to(dtype).float(), rank)
            generator = random_generator(label, f"{name}:{view}")
            found = location_statistics(start, end, known, generator, dtype)
            rows.append(key | {"view": view} | found)
    return pd.DataFrame(rows)


def overlaps(base: WeightMap, runs: Mapping[str, WeightMap]) -> pd.DataFrame:
    """Overlap of the changed entries of each two runs of an arm, by matrix and view.

    `jaccard_margin_null` and `margin_z` are those of independence within strata of
    equal margin. Only one arm's runs are alike but for the seed.
    """
    pairs = [p for p in combinations(runs, 2) if arm_of(p[0]) == arm_of(p[1])]
    rows = []
    names = sorted(filter(locate, base)) if pairs else []
    for name in tqdm(names, desc="Overlap of runs", mininterval=1):
        start = read(base, name)
        ends = {run: read_trained(base, runs[run], name) for p in pairs for run in p}
        key = matrix_key(name) | {"tensor": name}
        for view, dtype in VIEWS.items():
            strata = margin_strata(start, dtype)
            changed = {
                run: ~unchanged(*in_view(start, end, dtype))
                for run, end in ends.items()
            }
            for run, other in pairs:
                found = pair_overlap(changed[run], changed[other], strata)
                rows.append({"run": run, "other": other} | key | {"view": view} | found)
    return pd.DataFrame(rows, columns=OVERLAP_COLUMNS)


def pair_overlap(
    first: torch.Tensor, second: torch.Tensor, strata: torch.Tensor
) -> dict[str, float]:
    """Jaccard index of two masks beside both nulls."""
    table = contingency(first, second, strata)
    plain = overlap_statistics(table.sum(axis=0, keepdims=True))
    given = overlap_statistics(table)
    return {
        **{name: plain[name] for name in ("jaccard", "jaccard_null", "overlap_z")},
        "jaccard_margin_null": given["jaccard_null"],
        "margin_z": given["overlap_z"],
    }
