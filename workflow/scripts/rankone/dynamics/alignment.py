"""Do left singular vectors align more than right ones, and more than chance?

The first triplet of an update D_t = W_t - W_0 is compared between steps, layers and
seeds by the absolute cosine of its left and of its right vectors (arXiv 2605.06523 does
not publish its measure; this is ours). Three artefacts are answered by nulls:

- D_s and D_t share the increments up to s, so that the first vectors of a random walk
  align over time as well: random_walk() has the Gram matrix of the measured updates.
- In a matrix that is not square the vectors of the shorter side are the better
  determined ones: a contrast of the sides is standardised by that of its own shape.
  Square matrices decide; they are reported apart.
- The stronger the first triplet, the smaller that effect: the null can have a first
  triplet of the measured strength, which turns equally on both sides.

The trajectory as a whole (its first component, its linearity) depends on the T x T Gram
matrix of the updates alone, and so does its null.

Sources: Benaych-Georges and Nadakuditi, J. Multivariate Anal. 111 (2012) 120 (spikes);
Antognini and Sohl-Dickstein, NeurIPS 2018 (random walks); Owen, Annals of Applied
Statistics 1 (2007) 386 (resampling of pairs).
"""

from collections.abc import Mapping, Sequence
from itertools import combinations

import numpy as np
import pandas as pd
import torch

from rankone.errors import UserError
from rankone.linalg.svd import Factors
from rankone.names import arm_of
from rankone.statistics.clustered import clustered
from rankone.statistics.intervals import DRAWS
from rankone.weights.factors import Trajectory
from rankone.weights.updates import locate, matrix_key

ADJACENT, FURTHER, TO_FINAL = "adjacent", "further", "to_final"
ACROSS_LAYERS, ACROSS_SEEDS = "across_layers", "across_seeds"
OVER_TIME = (ADJACENT, FURTHER, TO_FINAL)
LEFT, RIGHT, CONTRAST = "left", "right", "left_minus_right"
PAIR_COLUMNS = [
    *("run", "tensor", "module", "layer", "kind", "side", "step", "other"),
    *("rows", "columns", "cosine", "used"),
]
PAIR_KEY = [c for c in PAIR_COLUMNS if c not in ("side", "cosine", "used")]
CONTRAST_COLUMNS = [
    *("kind", "shape", "delta", "low", "high", "z", "z_low", "z_high", "n"),
]


def absolute_cosines(vectors: torch.Tensor) -> np.ndarray:
    """Absolute cosines [T, T] float64 between unit vectors [T, d]."""
    vectors = vectors.double()
    return (vectors @ vectors.T).abs().clamp(max=1).cpu().numpy()


def first_cosines(factors: Sequence[Factors]) -> dict[str, np.ndarray]:
    """Absolute cosines [T, T] of the first left and right vectors of T updates.

    NaN where one of the two directions is not identifiable.
    """
    known = np.array([bool(each.identifiable[0]) for each in factors])
    vectors = {
        LEFT: torch.stack([each.left[:, 0] for each in factors]),
        RIGHT: torch.stack([each.right[0] for each in factors]),
    }
    return {
        side: np.where(np.outer(known, known), absolute_cosines(stack), np.nan)
        for side, stack in vectors.items()
    }


def step_links(count: int) -> dict[str, list[tuple[int, int]]]:
    """Which of `count` steps in order are compared, earlier one first, by kind.

    All pairs are there; the last two steps are both adjacent and to the final one.
    """
    last = count - 1
    return {
        ADJACENT: [(i, i + 1) for i in range(last)],
        FURTHER: [(i, j) for i, j in combinations(range(last), 2) if j > i + 1],
        TO_FINAL: [(i, last) for i in range(last)],
    }


def matrix_columns(run: str, tensor: str) -> dict:
    """The columns that say which matrix of which run it is."""
    if locate(tensor) is None:
        raise UserError(
            f"{tensor} of {run} is not one of the seven linear maps of a layer, which "
            "alignment is defined for; leave it out."
        )
    return {"run": run, "tensor": tensor} | matrix_key(tensor)


def compared(
    factors: Sequence[Factors], links: list[tuple[int, int]], **labels
) -> dict[str, list]:
    """Columns of pairs of matrices of one shape: left cosines, then right ones.

    `labels` are further columns: one value for all links, or a list of one for each.
    """
    labels |= {"rows": len(factors[0].left), "columns": factors[0].right.shape[1]}
    found = {
        name: 2 * (value if isinstance(value, list) else [value] * len(links))
        for name, value in labels.items()
    }
    ends = tuple(np.array(links, dtype=int).reshape(-1, 2).T)
    sides = first_cosines(factors)
    found["side"] = [side for side in sides for _ in links]
    found["cosine"] = [c for each in sides.values() for c in each[ends].tolist()]
    return found


def joined(parts: list[dict[str, list]]) -> pd.DataFrame:
    """Pairs under each other, with the columns PAIR_COLUMNS."""
    columns = {
        name: [value for part in parts for value in part[name]]
        for name in PAIR_COLUMNS
        if name != "used"
    }
    table = pd.DataFrame(columns)
    return table.assign(used=table["cosine"].notna())


def over_time(run: str, trajectory: Trajectory) -> pd.DataFrame:
    """Pairs of steps of every matrix; `other` is the later step."""
    steps, parts = sorted(trajectory), []
    for tensor in trajectory[steps[-1]] if steps else []:
        factors = [trajectory[step][tensor] for step in steps]
        matrix = matrix_columns(run, tensor)
        for kind, links in step_links(len(steps)).items():
            ends = {
                "step": [steps[i] for i, _ in links],
                "other": [str(steps[j]) for _, j in links],
            }
            parts.append(compared(factors, links, kind=kind, **matrix, **ends))
    return joined(parts)


def alike(run: str, kept: Mapping[str, Factors]) -> list[dict[int, str]]:
    """Tensors by layer, in order, for every module (and shape, where layers differ)."""
    groups: dict[tuple, dict[int, str]] = {}
    for name, factors in kept.items():
        matrix = matrix_columns(run, name)
        key = matrix["module"], len(factors.left), factors.right.shape[1]
        groups.setdefault(key, {})[matrix["layer"]] = name
    return [dict(sorted(group.items())) for group in groups.values()]


def across_layers(run: str, trajectory: Trajectory) -> pd.DataFrame:
    """Pairs of layers of one module at one step; `other` is the deeper layer.

    Only the side that reads from or writes to the residual stream has a basis that
    layers share: a contrast of the sides may say no more than that.
    """
    parts = []
    for step, kept in sorted(trajectory.items()):
        for group in alike(run, kept):
            layers, names = list(group), list(group.values())
            links = list(combinations(range(len(layers)), 2))
            ends = {
                "tensor": [names[i] for i, _ in links],
                "layer": [layers[i] for i, _ in links],
                "other": [str(layers[j]) for _, j in links],
            }
            labels = matrix_columns(run, names[0]) | ends
            labels |= {"kind": ACROSS_LAYERS, "step": step}
            parts.append(compared([kept[name] for name in names], links, **labels))
    return joined(parts)


def across_seeds(trajectories: Mapping[str, Trajectory]) -> pd.DataFrame:
    """Pairs of the same matrix and step in two runs of one arm; `other` is the run."""
    parts = []
    for first, second in combinations(trajectories, 2):
        both = trajectories[first], trajectories[second]
        steps = sorted(both[0].keys() & both[1].keys())
        if not steps or arm_of(first) != arm_of(second):
            continue
        links = [(i, i + len(steps)) for i in range(len(steps))]
        labels = {"kind": ACROSS_SEEDS, "step": steps, "other": second}
        for tensor in both[0][steps[0]]:
            factors = [run[step][tensor] for run in both for step in steps]
            matrix = matrix_columns(first, tensor)
            parts.append(compared(factors, links, **matrix, **labels))
    return joined(parts)


def pairs(trajectories: Mapping[str, Trajectory]) -> pd.DataFrame:
    """All pairs of first triplets, two rows (left, right) each, as PAIR_COLUMNS.

    `trajectories` has the factors of every run, step and tensor. `other` is a string:
    the later step (adjacent, further, to_final), the deeper layer or the second run.
    `cosine` is absolute, and NaN unless `used`: where both directions are identifiable.
    """
    tables = [over_time(*each) for each in trajectories.items()]
    tables += [across_layers(*each) for each in trajectories.items()]
    tables.append(across_seeds(trajectories))
    # Columns of an empty table have no type and would spoil that of the others.
    found = [table for table in tables if len(table)]
    return pd.concat(found, ignore_index=True) if found else tables[-1]


def standardised(
    table: pd.DataFrame, null: pd.DataFrame, value: str = "cosine"
) -> pd.DataFrame:
    """The table with `z`, the value's distance from its null in standard deviations.

    `table` has pairs or differences(), `null` a row of NULL_COLUMNS for each kind, side
    and shape, and pair of steps if over time; with a column `run`, for each run. Adds
    the null's columns, too.
    """
    timed = table["kind"].isin(OVER_TIME)
    since, until = table["step"].where(timed, 0), table["other"].where(timed, "")
    keyed = table.assign(since=since.astype(int), until=until.astype(str))
    null = null.rename(columns={"step": "since", "other": "until"})
    key = ["kind", "side", "rows", "columns", "since", "until"]
    key += ["run"] if "run" in null else []
    found = keyed.merge(null, how="left", on=key, validate="many_to_one")
    missing = found.loc[found["draws"].isna(), key]
    if len(missing):
        raise ValueError(f"the null lacks {missing.iloc[0].to_dict()}")
    z = (found[value] - found["mean"]) / found["sd"]
    return found.assign(z=z).drop(columns=["since", "until"])


def differences(pairs: pd.DataFrame) -> pd.DataFrame:
    """Left minus right cosine, `delta`, of every pair that is used; one row a pair."""
    used = pairs[pairs["used"].astype(bool)]
    sides = [
        used.loc[used["side"] == side, [*PAIR_KEY, "cosine"]] for side in (LEFT, RIGHT)
    ]
    both = sides[0].merge(sides[1], on=PAIR_KEY, suffixes=("_left", "_right"))
    delta = both["cosine_left"] - both["cosine_right"]
    return both[PAIR_KEY].assign(side=CONTRAST, delta=delta)


def shape_class(rows: int, columns: int) -> str:
    """Square, tall (more rows than columns) or wide."""
    if rows == columns:
        return "square"
    return "tall" if rows > columns else "wide"


def contrast(
    pairs: pd.DataFrame, null: pd.DataFrame, seed: int = 0, draws: int = DRAWS
) -> pd.DataFrame:
    """How much more left vectors align than right ones, by kind and class of shapes.

    `delta` is the left minus the right cosine and `z` the same against its null, both
    means over pairs of a matrix and then over matrices, with intervals from resampled
    layers. Layers are resampled with all their modules and runs; across layers a pair
    counts as often as both of its layers. The interval of z takes in the error of a
    simulated mean. Pairs without a null (too few draws) have a delta only. `n` is the
    number of matrices, across layers of pairs of them. Columns as CONTRAST_COLUMNS.
    """
    deltas = differences(pairs)
    if deltas.empty:
        return pd.DataFrame(columns=CONTRAST_COLUMNS)
    means = ("delta", "z", "error")
    matrices = by_matrix(standardised(deltas, null, "delta"), means)
    rows = []
    for (kind, shape), cell in matrices.groupby(["kind", "shape"]):
        row = {"kind": kind, "shape": shape, "n": len(cell)}
        row |= clustered(cell, "delta", seed, draws).columns("delta")
        z = clustered(cell, "z", seed, draws, simulation_error(cell))
        rows.append(row | z.columns("z", "z_"))
    return pd.DataFrame(rows, columns=CONTRAST_COLUMNS)


def by_matrix(deltas: pd.DataFrame, values: Sequence[str]) -> pd.DataFrame:
    """Means over the pairs of each matrix, or over steps of each pair of layers."""
    key = ["kind", "run", "tensor", "layer", "second", "rows", "columns"]
    found = with_second(deltas).groupby(key, as_index=False)
    means = found[list(values)].mean()
    shapes = zip(means["rows"], means["columns"], strict=True)
    return means.assign(shape=[shape_class(*shape) for shape in shapes])


def with_second(pairs: pd.DataFrame) -> pd.DataFrame:
    """Pairs with `second`: across layers the other layer, else `layer` again."""
    layered = pairs["kind"] == ACROSS_LAYERS
    second = pairs["other"].where(layered, pairs["layer"].astype(str))
    return pairs.assign(second=second.astype(int))


def simulation_error(matrices: pd.DataFrame) -> float:
    """Standard error of the mean z that comes from the simulated means.

    Within a shape it is as if all pairs of steps came from the same draws of one
    number, which overstates it.
    """
    known = matrices.dropna(subset="z")
    parts = known.groupby(["rows", "columns"])["error"].sum() / max(len(known), 1)
    return float(np.sqrt(np.square(parts).sum()))
