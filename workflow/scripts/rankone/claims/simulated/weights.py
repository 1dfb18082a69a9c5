"""Simulated weights whose truth is known, through the code of the geometry of updates.

They are small, so that a study takes a second or two: six layers, matrices 16 to 96
wide, two runs of one arm.
"""

import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import torch
from safetensors.torch import save_file

from rankone.claims.simulated.effects import BASE_RANK, Effect, noise, power_law
from rankone.geometry import spectra, tables, update_location
from rankone.names import BASE, FULL
from rankone.seeding import random_generator
from rankone.weights.checkpoints import WeightMap, index

LAYERS = 6
SHAPES = {
    "q_proj": (48, 48),
    "k_proj": (16, 48),
    "o_proj": (48, 48),
    "up_proj": (96, 48),
    "down_proj": (48, 96),
}
# Norm of an update over the base's, and spread of the logarithms of scales.
SIZE, SPREAD = 0.01, 0.3
DRAWS = 400  # of the bootstrap
WeightMaps = Mapping[str, WeightMap]  # by run


def names() -> list[str]:
    """Names of all matrices."""
    part = {"q_proj": "self_attn", "k_proj": "self_attn", "o_proj": "self_attn"}
    return [
        f"model.layers.{layer}.{part.get(module, 'mlp')}.{module}.weight"
        for layer in range(LAYERS)
        for module in SHAPES
    ]


def scaled(matrix: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """The matrix with lognormal scales of its rows and columns."""
    rows, columns = (
        torch.exp(SPREAD * torch.randn(n, generator=generator)) for n in matrix.shape
    )
    return rows[:, None] * matrix * columns


def of_norm(matrix: torch.Tensor, norm: float) -> torch.Tensor:
    """The matrix with that Frobenius norm."""
    return matrix * (norm / matrix.norm())


def planted(plain: torch.Tensor, effect: torch.Tensor, strength: float) -> torch.Tensor:
    """A mixture of norm one with about that share of its norm in the effect."""
    rest = (1 - strength**2) ** 0.5
    return of_norm(rest * of_norm(plain, 1.0) + strength * of_norm(effect, 1.0), 1.0)


@dataclass(frozen=True)
class WeightScenario:
    """How weights are made: an effect in the base or in the update, and its strength.

    `tailed` gives the base a heavy tail, `rows` gives the update scales of its own,
    `rounded` stores the checkpoints in bfloat16. `shared` makes the effect of both runs
    from the same random numbers. `size` is the norm of the update over the base's.
    """

    effect: Effect | None = None
    strength: float = 0.0
    in_base: bool = False
    tailed: bool = True
    rows: bool = False
    rounded: bool = False
    shared: bool = False
    size: float = SIZE


def make_matrix(
    plan: WeightScenario, name: str, seed: int
) -> tuple[torch.Tensor, list[torch.Tensor]]:
    """One matrix of the base and of two runs, float32."""
    shape = SHAPES[name.split(".")[-2]]
    own = random_generator(seed, name)
    base = of_norm(scaled(noise(shape, own), own), 1.0)
    if plan.tailed:
        base = planted(base, power_law(base, own), 0.5)
    if plan.in_base:
        base = planted(base, plan.effect(base, own), plan.strength)
    ends = []
    for run in range(2):
        change = noise(shape, own)
        change = of_norm(scaled(change, own) if plan.rows else change, 1.0)
        if plan.effect and not plan.in_base:
            place = random_generator(seed, f"{name}:{0 if plan.shared else run}")
            change = planted(change, plan.effect(base, place), plan.strength)
        ends.append(stored(base + plan.size * change, plan.rounded))
    return stored(base, plan.rounded), ends


def stored(matrix: torch.Tensor, rounded: bool) -> torch.Tensor:
    """The matrix as a checkpoint holds it, float32 or rounded to bfloat16."""
    return matrix.bfloat16().float() if rounded else matrix.float()


def geometry_table(
    plan: WeightScenario,
    seed: int,
    table: Callable[[WeightMap, WeightMaps, int], pd.DataFrame],
    runs: int = 1,
) -> pd.DataFrame:
    """A table of simulated weights: tails(), anatomy() or overlap()."""
    made = {name: make_matrix(plan, name, seed) for name in names()}
    weights = {BASE: {name: base for name, (base, _) in made.items()}}
    for run in range(runs):
        own = {name: ends[run] for name, (_, ends) in made.items()}
        weights[f"{FULL}-seed{run}"] = own
    with tempfile.TemporaryDirectory() as folder:
        files = {}
        for run, tensors in weights.items():
            path = Path(folder) / f"{run}.safetensors"
            save_file(tensors, path)
            files[run] = index([path])
        return table(files.pop(BASE), files, seed)


def tails(base: WeightMap, runs: WeightMaps, seed: int) -> pd.DataFrame:
    """The table of tails, of the statistics that claims need."""
    found = {BASE: spectra.examine(base, {}, 2, None, BASE)}
    for run, trained in runs.items():
        found[run] = spectra.examine(base, trained, 2, None, f"{run}:{seed}")
    values = pd.concat([t["values"].assign(run=r, step=0) for r, t in found.items()])
    draws = pd.concat([found[run]["draws"] for run in runs])
    both = tables.beside_nulls(values, draws), tables.beside_base(values)
    matrices = pd.concat(both)
    matrices = matrices[matrices["statistic"].isin(["hill_alpha", "top_1_energy"])]
    return tables.tails_table(matrices, seed, DRAWS)


def anatomy(base: WeightMap, runs: WeightMaps, seed: int) -> pd.DataFrame:
    """The table of the anatomy."""
    found = [
        update_location.examine(base, trained, BASE_RANK, f"{run}:{seed}").assign(
            run=run, step=0
        )
        for run, trained in runs.items()
    ]
    return tables.anatomy_table(pd.concat(found), seed, DRAWS)


def overlap(base: WeightMap, runs: WeightMaps, seed: int) -> pd.DataFrame:
    """The table of overlaps."""
    found = update_location.overlaps(base, runs).assign(step=0)
    return tables.anatomy_table(found, seed, DRAWS)
