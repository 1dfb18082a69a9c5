"""Do the leading subspaces of updates stay where they are, beside those of a walk?

The overlap of two k-dimensional subspaces is the mean squared cosine of their principal
angles: 1 if they are the same, about k / d for independent ones in R^d. They are those
of the k leading singular vectors of the updates at two exported steps, on either side.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import torch

from rankone.dynamics import random_walk
from rankone.dynamics.alignment import (
    LEFT,
    RIGHT,
    matrix_columns,
    shape_class,
    step_links,
)
from rankone.dynamics.alignment_tables import Grams, SimulatedWalk, walks
from rankone.linalg.svd import MINIMUM_GAP, Factors, leading
from rankone.seeding import random_generator
from rankone.statistics.clustered import clustered
from rankone.statistics.intervals import DRAWS
from rankone.weights.factors import Trajectory

RANK = 4
KEY = ["kind", "side", "shape", "step", "other"]
COLUMNS = [
    *("run", *KEY, "rank", "used", "n", "overlap", "low", "high"),
    *("chance", "null", "null_sd", "z"),
]
PAIR_COLUMNS = [*("run", "layer", "size", *KEY), "overlap", "used", "chance"]


def subspace_overlap(first: torch.Tensor, second: torch.Tensor) -> float:
    """Mean squared cosine of the principal angles of two frames [d, k]."""
    return (first.T @ second).square().sum().item() / first.shape[1]


def separate(factors: Factors) -> bool:
    """Whether the RANK leading directions are set apart from the others by a gap."""
    sigma = factors.sigma[: RANK + 1].tolist()
    return len(sigma) > RANK and sigma[-2] - sigma[-1] >= MINIMUM_GAP * sigma[-2]


def overlaps(factors: Sequence[Factors]) -> dict[str, np.ndarray]:
    """Overlaps [T, T] of the leading subspaces of T updates, by side."""
    frames = {
        LEFT: [each.left[:, :RANK] for each in factors],
        RIGHT: [each.right[:RANK].T for each in factors],
    }
    return {
        side: np.array([[subspace_overlap(a, b) for b in frame] for a in frame])
        for side, frame in frames.items()
    }


def pair_rows(run: str, trajectory: Trajectory) -> pd.DataFrame:
    """One row a matrix, side and pair of steps (PAIR_COLUMNS); not separate: not used.

    `trajectory` has the factors of more than RANK directions of a run's steps.
    """
    steps, rows = sorted(trajectory), []
    for tensor in trajectory[steps[-1]]:
        factors = [trajectory[step][tensor] for step in steps]
        known = [separate(each) for each in factors]
        shape = len(factors[0].left), factors[0].right.shape[1]
        layer = matrix_columns(run, tensor)["layer"]
        key = {"run": run, "layer": layer, "size": shape}
        for (side, found), size in zip(overlaps(factors).items(), shape, strict=True):
            label = key | {"side": side, "shape": shape_class(*shape)}
            label |= {"chance": min(RANK / size, 1.0)}
            rows += [
                label
                | {"kind": kind, "step": steps[i], "other": steps[j]}
                | {"overlap": found[i, j], "used": known[i] and known[j]}
                for kind, links in step_links(len(steps)).items()
                for i, j in links
            ]
    return pd.DataFrame(rows, columns=PAIR_COLUMNS)


def null_rows(walk: SimulatedWalk, seed: int, draws: int) -> pd.DataFrame:
    """Mean and spread of the overlaps of such walks, by side and pair of steps."""
    generator = random_generator(seed, f"subspaces:{walk.run}:{walk.shape}")
    drawn = []
    for _ in range(draws):
        made = random_walk.simulated_updates(
            *walk.shape, walk.correlation, generator, walk.spike
        )
        drawn.append(overlaps([leading(update, RANK) for update in made]))
    rows = []
    for side in (LEFT, RIGHT):
        sample = np.stack([each[side] for each in drawn])
        for kind, links in step_links(len(walk.steps)).items():
            for i, j in links:
                key = {"size": walk.shape, "side": side, "kind": kind}
                key |= {"step": walk.steps[i], "other": walk.steps[j]}
                spread = sample[:, i, j].std(ddof=1)
                rows.append(key | {"null": sample[:, i, j].mean(), "null_sd": spread})
    return pd.DataFrame(rows)


def subspace_table(
    trajectories: Mapping[str, Trajectory],
    grams: Mapping[str, Grams],
    null_draws: int,
    seed: int,
    draws: int = DRAWS,
) -> pd.DataFrame:
    """Mean overlap over matrices of each run, shape and pair of steps (COLUMNS).

    Intervals resample layers. The null is a walk with the correlations and the first
    triplet that were measured. Empty for runs with a single step.
    """
    rows = []
    for run, trajectory in trajectories.items():
        pairs = pair_rows(run, trajectory)
        null = [
            null_rows(w, seed, null_draws) for w in walks(run, trajectory, grams[run])
        ]
        if not null:
            continue
        key = ["size", "side", "kind", "step", "other"]
        both = pairs.merge(pd.concat(null), on=key)
        both["z"] = (both["overlap"] - both["null"]) / both["null_sd"]
        for cell, found in both.groupby(KEY, sort=False):
            rows.append(summary(run, cell, found, seed, draws))
    return pd.DataFrame(rows, columns=COLUMNS)


def summary(run: str, cell: tuple, found: pd.DataFrame, seed: int, draws: int) -> dict:
    """One row of the table: means over the matrices whose subspaces are separate."""
    used = found[found["used"]]
    row = {"run": run} | dict(zip(KEY, cell, strict=True)) | {"rank": RANK}
    row |= {"used": len(used), "n": len(found), "chance": found["chance"].mean()}
    row |= clustered(used, "overlap", seed, draws).columns("overlap")
    return row | used[["null", "null_sd", "z"]].mean().to_dict()
