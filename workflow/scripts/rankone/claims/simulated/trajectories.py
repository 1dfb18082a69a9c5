"""Simulated trajectories whose truth is known, through the code of alignment."""

from dataclasses import dataclass
from functools import cache

import numpy as np
import pandas as pd
import torch

from rankone.dynamics import alignment, random_walk, trajectory
from rankone.dynamics.alignment_tables import (
    SHUFFLED_COLUMNS,
    contrast_table,
    null_table,
)
from rankone.dynamics.trajectory import Nulls
from rankone.dynamics.trajectory_statistics import gram
from rankone.linalg.svd import leading
from rankone.seeding import random_generator

STEPS = (4, 8, 12, 16, 20)
LAYERS, WIDTH, RUNS = 6, 48, 2
MODULES = ("q_proj", "o_proj")
DRAWS, NULL_DRAWS = 400, 40
SIZE = 1e-3


@dataclass(frozen=True)
class WalkScenario:
    """A random walk: momentum of its steps, drift, and a first triplet.

    `rho` and `drift` are as in alignment.expected_gram(); `spike` is the strength of a
    triplet that turns equally on both sides, `left` that of one whose left vector
    stays, and with `common` is the same in all runs.
    """

    rho: float = 0.0
    drift: float = 0.0
    spike: float = 0.0
    left: float = 0.0
    common: bool = False


def names() -> list[str]:
    """Names of the matrices, all square."""
    return [
        f"model.layers.{layer}.self_attn.{module}.weight"
        for layer in range(LAYERS)
        for module in MODULES
    ]


def updates(walk: WalkScenario, name: str, run: str, seed: int) -> torch.Tensor:
    """Updates [T, WIDTH, WIDTH] of one matrix at STEPS, the last of norm one."""
    generator = random_generator(seed, f"{run}:{name}")
    expected = random_walk.expected_gram(STEPS, walk.rho, walk.drift)
    made = random_walk.simulated_updates(WIDTH, WIDTH, expected, generator, walk.spike)
    if walk.left:
        turning = random_walk.gaussian(
            random_walk.as_correlation(expected), WIDTH, generator
        )
        own = random_generator(seed, name) if walk.common else generator
        fixed = torch.randn(WIDTH, generator=own)
        sides = (torch.nn.functional.normalize(s, dim=-1) for s in (fixed, turning))
        left, right = sides
        triplet = left[None, :, None] * right[:, None, :]
        made = (1 - walk.left**2) ** 0.5 * made + walk.left * triplet
    sizes = np.sqrt(np.diag(expected) / expected[-1, -1])
    return made * torch.as_tensor(sizes)[:, None, None].to(made)


def sized(made: torch.Tensor) -> list[torch.Tensor]:
    """Updates of the size that they have beside a base of Gaussian weights."""
    return [SIZE * each for each in made]


@cache
def nulls() -> Nulls:
    """They are the same for all simulated studies."""
    return trajectory.make_nulls(STEPS, NULL_DRAWS, 0)


def runs() -> list[str]:
    """Names of the runs, all of one arm."""
    return [f"full-seed{number}" for number in range(RUNS)]


def contrast(walk: WalkScenario, seed: int) -> pd.DataFrame:
    """The table `alignment_contrast` of an arm of two runs."""
    directions, grams = {}, {}
    for run in runs():
        made = {name: updates(walk, name, run, seed) for name in names()}
        directions[run] = {
            step: {n: leading(each[i], 1) for n, each in made.items()}
            for i, step in enumerate(STEPS)
        }
        grams[run] = {
            name: pd.DataFrame(gram(sized(each)), index=STEPS, columns=STEPS)
            for name, each in made.items()
        }
    pairs = alignment.pairs(directions)
    null = null_table(directions, grams, seed, NULL_DRAWS)
    none = pd.DataFrame(columns=SHUFFLED_COLUMNS)
    return contrast_table(pairs, null, none, seed, DRAWS)


def statistics(walk: WalkScenario, seed: int) -> pd.DataFrame:
    """The table `trajectory` of an arm of two runs."""
    rows = []
    for run in runs():
        for name in names():
            made = sized(updates(walk, name, run, seed))
            base = torch.randn(WIDTH, WIDTH, generator=random_generator(seed, name))
            key = {"arm": "full", "run": run, "layer": int(name.split(".")[2])}
            found, _ = trajectory.follow(base, made, STEPS, nulls())
            rows += [key | row for row in found]
    return trajectory.trajectory_table(pd.DataFrame(rows), seed, DRAWS)
