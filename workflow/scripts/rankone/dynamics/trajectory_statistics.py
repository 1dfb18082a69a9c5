"""Statistics of a trajectory that depend on its T x T Gram matrix alone."""

from collections.abc import Sequence

import numpy as np
import torch

from rankone.linalg.svd import CACHED

# Closed forms for a random walk of many steps in many more dimensions. Its covariance
# min(s, t) has eigenvalues proportional to (k - 1/2)^-2; the first eigenvector, and so
# the first coefficient, is a quarter of a sine.
WALK_SHARE = 8 / np.pi**2
WALK_SHARE_OF_FIVE = float(4 / np.sum((np.arange(1, 6) - 0.5) ** -2))
WALK_LINEARITY = 12 * (4 / np.pi**2 - 1 / np.pi) ** 2 / (0.5 - 4 / np.pi**2)
# A worse prediction counts as this one.
MIN_R2 = -1.0


def gram(updates: Sequence[torch.Tensor]) -> np.ndarray:
    """Inner products <D_s, D_t> [T, T] float64 of T updates [out, in]."""
    rows = max(CACHED // updates[0].shape[1], 1)
    total = torch.zeros(len(updates), len(updates), dtype=torch.float64)
    for parts in zip(*(update.split(rows) for update in updates), strict=True):
        flat = torch.stack([part.flatten() for part in parts]).double()
        total += (flat @ flat.T).cpu()
    return total.numpy()


def first_component_share(gram: np.ndarray) -> float:
    """Share of the first component in the energy of a trajectory, origin W_0.

    Nothing is centred. WALK_SHARE for a random walk of many steps.
    """
    return first_share(gram, len(gram))


def share_of_five(gram: np.ndarray) -> float:
    """Share of the first component in the energy of the first five.

    WALK_SHARE_OF_FIVE for a random walk of many steps.
    """
    return first_share(gram, 5)


def first_share(gram: np.ndarray, among: int) -> float:
    """The largest eigenvalue over the sum of the `among` largest."""
    values = np.linalg.eigvalsh(gram)[::-1][:among].clip(min=0)
    return float(values[0] / values.sum()) if values[0] > 0 else np.nan


def first_coefficients(gram: np.ndarray, known: int | None = None) -> np.ndarray:
    """c_t = <D_t, v> [T], v the first component of the first `known` updates.

    Of all updates by default. The last known one is positive.
    """
    known = len(gram) if known is None else known
    values, vectors = np.linalg.eigh(gram[:known, :known])
    found = gram[:, :known] @ vectors[:, -1] / np.sqrt(values[-1])
    return found * np.copysign(1, found[known - 1])


def linearity_r2(gram: np.ndarray, steps: Sequence[int]) -> float:
    """In-sample R^2 of the first coefficient on the step.

    WALK_LINEARITY for a random walk of many steps.
    """
    return float(np.corrcoef(first_coefficients(gram), steps)[0, 1] ** 2)


def extrapolation_r2(gram: np.ndarray, steps: Sequence[int], known: int) -> float:
    """Out-of-sample R^2 of a line through the first coefficient.

    Component and line come from the first `known` steps (two or more); scored on the
    later ones (two or more), against their mean. Negative where that would be better;
    MIN_R2 at least, as a walk, whose coefficient stays where it was, has no limit.
    """
    times, found = np.asarray(steps, dtype=float), first_coefficients(gram, known)
    line, later = np.polyfit(times[:known], found[:known], 1), found[known:]
    rest = np.square(later - np.polyval(line, times[known:])).sum()
    spread = np.square(later - later.mean()).sum()
    return float(1 - min(rest / spread, 1 - MIN_R2)) if spread > 0 else MIN_R2


def trajectory_statistics(gram: np.ndarray, steps: Sequence[int]) -> dict[str, float]:
    """Statistics of a trajectory from its Gram matrix [T, T] (`trajectory` rank 1).

    NaN where they are undefined: linearity_r2 with fewer than three steps,
    extrapolation_r2, whose line is from the larger half of them, with fewer than five;
    both where nothing has moved in that half, and all where nothing has moved.
    """
    known = (len(steps) + 1) // 2
    count = len(steps) if gram[:known, :known].any() else 0
    linear = linearity_r2(gram, steps) if count >= 3 else np.nan
    later = extrapolation_r2(gram, steps, known) if count >= 5 else np.nan
    return {
        "first_component_share": first_component_share(gram),
        "share_of_five": share_of_five(gram),
        "linearity_r2": linear,
        "extrapolation_r2": later,
    }
