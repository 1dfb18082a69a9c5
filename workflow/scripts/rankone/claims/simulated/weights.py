"""Made-up weights whose truth is known, through the code of the geometry of updates.

They are small, so that a study takes a second or two: six layers, matrices 16 to 96
wide, two runs of one arm.
"""

import tempfile
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import torch
from safetensors.torch import save_file

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
RANK = 4  # of the base's leading subspaces
DRAWS = 400  # of the bootstrap
Weights = dict[str, torch.Tensor]
Effect = Callable[[torch.Tensor, torch.Generator], torch.Tensor]


def names() -> list[str]:
    """Names of all matrices."""
    part = {"q_proj": "self_attn", "k_proj": "self_attn", "o_proj": "self_attn"}
    return [
        f"model.layers.{layer}.{part.get(module, 'mlp')}.{module}.weight"
        for layer in range(LAYERS)
        for module in SHAPES
    ]


def noise(shape: tuple[int, int], generator: torch.Generator) -> torch.Tensor:
    """Gaussian entries of variance one over the number of columns."""
    return torch.randn(*shape, generator=generator) / shape[1] ** 0.5


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


def power_law(matrix: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Random singular vectors with singular values i^-1: a heavy tail."""
    rows, columns = matrix.shape
    left = torch.linalg.qr(torch.randn(rows, rows, generator=generator))[0]
    right = torch.linalg.qr(torch.randn(columns, columns, generator=generator))[0]
    count = min(rows, columns)
    sigma = 1 / torch.arange(1, count + 1)
    return (left[:, :count] * sigma) @ right[:count]


def spike(matrix: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """A random matrix of rank 1."""
    rows, columns = matrix.shape
    return torch.outer(
        torch.randn(rows, generator=generator),
        torch.randn(columns, generator=generator),
    )


def turned(base: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """A change that turns the base's rows and so keeps its singular values."""
    skew = torch.randn(len(base), len(base), generator=generator)
    return (skew - skew.T) @ base


def off_principal(base: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Noise without its part in the base's leading subspaces on both sides."""
    left, _, right = torch.linalg.svd(base, full_matrices=False)
    left, right = left[:, :RANK], right[:RANK]
    change = noise(base.shape, generator)
    return change - left @ (left.T @ change @ right.T) @ right


def on_small(base: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Noise on the smaller half of the base's entries."""
    return noise(base.shape, generator) * (base.abs() < base.abs().median())


def striped(base: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Noise in a quarter of the rows."""
    chosen = torch.rand(len(base), 1, generator=generator) < 0.25
    return noise(base.shape, generator) * chosen


def sparse(base: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Noise in a quarter of the entries."""
    chosen = torch.rand(base.shape, generator=generator) < 0.25
    return noise(base.shape, generator) * chosen


@dataclass(frozen=True)
class WeightScenario:
    """How weights are made: an effect in the base or in the update, and its strength.

    `tailed` gives the base a heavy tail, `rows` gives the update scales of its own,
    `stored` is the precision of the checkpoints. `shared` makes the effect of both runs
    from the same random numbers. `size` is the norm of the update over the base's.
    """

    effect: Effect | None = None
    strength: float = 0.0
    in_base: bool = False
    tailed: bool = True
    rows: bool = False
    stored: torch.dtype = torch.float32
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
        ends.append((base + plan.size * change).to(plan.stored).float())
    return base.to(plan.stored).float(), ends


def geometry_tables(
    plan: WeightScenario, seed: int, parts: Collection[str], runs: int = 1
) -> dict[str, pd.DataFrame]:
    """Those of the tables `tails`, `anatomy` and `overlap` that are in `parts`."""
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
        base = files.pop(BASE)
        return {part: TABLES[part](base, files, seed) for part in parts}


def tails(base: WeightMap, runs: Mapping[str, WeightMap], seed: int) -> pd.DataFrame:
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


def places(base: WeightMap, runs: Mapping[str, WeightMap], seed: int) -> pd.DataFrame:
    """The table of the anatomy."""
    found = [
        update_location.examine(base, trained, RANK, f"{run}:{seed}").assign(
            run=run, step=0
        )
        for run, trained in runs.items()
    ]
    return tables.anatomy_table(pd.concat(found), seed, DRAWS)


def overlap_table(
    base: WeightMap, runs: Mapping[str, WeightMap], seed: int
) -> pd.DataFrame:
    """The table of overlaps."""
    found = update_location.overlaps(base, runs).assign(step=0)
    return tables.anatomy_table(found, seed, DRAWS)


TABLES = {"tails": tails, "anatomy": places, "overlap": overlap_table}
