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

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import combinations

import numpy as np
import pandas as pd
import torch
from scipy.linalg import subspace_angles
from scipy.optimize import least_squares
from scipy.special import gammaln
from scipy.stats import beta, wishart

from rankone.errors import UserError
from rankone.factors import Trajectory
from rankone.runs import arm_of
from rankone.statistics import DRAWS, Estimate, clustered_interval
from rankone.svd import CACHED, Factors, leading
from rankone.updates import locate

ADJACENT, FURTHER, TO_FINAL = "adjacent", "further", "to_final"
ACROSS_LAYERS, ACROSS_SEEDS = "across_layers", "across_seeds"
OVER_TIME = (ADJACENT, FURTHER, TO_FINAL)
LEFT, RIGHT, CONTRAST = "left", "right", "left_minus_right"
PAIR_COLUMNS = [
    *("run", "tensor", "module", "layer", "kind", "side", "step", "other"),
    *("rows", "columns", "cosine", "used"),
]
PAIR_KEY = [c for c in PAIR_COLUMNS if c not in ("side", "cosine", "used")]
NULL_COLUMNS = [
    *("kind", "side", "rows", "columns", "step", "other"),
    *("mean", "sd", "error", "draws"),
]
CONTRAST_COLUMNS = [
    *("kind", "shape", "delta", "low", "high", "z", "z_low", "z_high", "n"),
]
# Fewer simulated pairs with identifiable directions do not give a mean and a spread.
LEAST_DRAWS = 20
# Closed forms for a random walk of many steps in many more dimensions. Its covariance
# min(s, t) has eigenvalues proportional to (k - 1/2)^-2; the first eigenvector, and so
# the first coefficient, is a quarter of a sine.
WALK_SHARE = 8 / np.pi**2
WALK_SHARE_OF_FIVE = float(4 / np.sum((np.arange(1, 6) - 0.5) ** -2))
WALK_LINEARITY = 12 * (4 / np.pi**2 - 1 / np.pi) ** 2 / (0.5 - 4 / np.pi**2)
# A worse prediction counts as this one.
LEAST_R2 = -1.0
# Adam's: the correlation of a walk's increments that momentum alone would make.
MOMENTUM = 0.9
# Beyond, correlated noise cannot be told from a drift within a run's length.
LARGEST_RHO = 0.99


def absolute_cosines(vectors: torch.Tensor) -> np.ndarray:
    """Absolute cosines [T, T] float64 between unit vectors [T, d]."""
    vectors = vectors.double()
    return (vectors @ vectors.T).abs().clamp(max=1).cpu().numpy()


def principal_angles(first: torch.Tensor, second: torch.Tensor) -> np.ndarray:
    """Principal angles [min(k, l)] in radians, ascending, of two subspaces.

    They are given by orthonormal columns [d, k] and [d, l]. Small angles are accurate,
    too, as SciPy takes them from sines.
    """
    sides = (side.double().cpu().numpy() for side in (first, second))
    return subspace_angles(*sides)[::-1]


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


def place(run: str, tensor: str) -> dict:
    """The columns that say where a matrix is."""
    found = locate(tensor)
    if found is None:
        raise UserError(
            f"{tensor} of {run} is not one of the seven linear maps of a layer, which "
            "alignment is defined for; leave it out."
        )
    return {"run": run, "tensor": tensor, "module": found[1], "layer": found[0]}


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
        factors, where = [trajectory[s][tensor] for s in steps], place(run, tensor)
        for kind, links in step_links(len(steps)).items():
            ends = {
                "step": [steps[i] for i, _ in links],
                "other": [str(steps[j]) for _, j in links],
            }
            parts.append(compared(factors, links, kind=kind, **where, **ends))
    return joined(parts)


def alike(run: str, kept: Mapping[str, Factors]) -> list[dict[int, str]]:
    """Tensors by layer, in order, for every module (and shape, where layers differ)."""
    groups: dict[tuple, dict[int, str]] = {}
    for name, factors in kept.items():
        where = place(run, name)
        key = where["module"], len(factors.left), factors.right.shape[1]
        groups.setdefault(key, {})[where["layer"]] = name
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
            labels = place(run, names[0]) | {"kind": ACROSS_LAYERS, "step": step} | ends
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
            parts.append(compared(factors, links, **place(first, tensor), **labels))
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


def random_cosine(dimension: int) -> tuple[float, float]:
    """Mean and standard deviation of |cos| of two independent directions in R^d.

    cos^2 has the law Beta(1/2, (d - 1)/2); the mean is near sqrt(2 / (pi d)).
    """
    logarithm = gammaln(dimension / 2) - gammaln((dimension + 1) / 2)
    mean = float(np.exp(logarithm) / np.sqrt(np.pi))
    return mean, float(np.sqrt(max(1 / dimension - mean**2, 0.0)))


def random_cosine_tail(cosine: np.ndarray | float, dimension: int) -> np.ndarray:
    """Probability that |cos| of two independent directions is at least `cosine`."""
    return beta.sf(np.square(cosine), 0.5, (dimension - 1) / 2)


def gram(updates: Sequence[torch.Tensor]) -> np.ndarray:
    """Inner products <D_s, D_t> [T, T] float64 of T updates [out, in]."""
    rows = max(CACHED // updates[0].shape[1], 1)
    total = torch.zeros(len(updates), len(updates), dtype=torch.float64)
    for parts in zip(*(update.split(rows) for update in updates), strict=True):
        flat = torch.stack([part.flatten() for part in parts]).double()
        total += (flat @ flat.T).cpu()
    return total.numpy()


def as_correlation(matrix: np.ndarray) -> np.ndarray:
    """A Gram matrix [T, T] with ones on its diagonal; zeros stay where they are."""
    norms = np.sqrt(np.diag(matrix))
    norms = np.where(norms > 0, norms, 1.0)
    return matrix / np.outer(norms, norms)


def mean_gram(grams: Iterable[np.ndarray]) -> np.ndarray:
    """Mean Gram matrix [T, T] of several trajectories, each over its mean square.

    The first vectors do not change with the size of an update, so that a null of
    several matrices together needs no more.
    """
    return np.mean([each / np.trace(each) for each in grams], axis=0)


def expected_gram(
    steps: Sequence[int], rho: float = 0.0, drift_snr: float = 0.0
) -> np.ndarray:
    """Gram matrix [T, T] of a random walk at `steps`, relative to its noise at the end.

    Noise increments of single steps have AR(1) correlation `rho`. `drift_snr` is the
    length of a drift's path over that of the noise, both at the last step; for rho = 0
    this is |drift| sqrt(T) / sigma.
    """
    if not -1 < rho < 1:
        raise ValueError(f"rho {rho}: expected a correlation between -1 and 1")
    times = np.asarray(steps, dtype=float)
    variance = path_variance(times, rho)
    lags = path_variance(np.abs(times[:, None] - times), rho)
    noise = (variance[:, None] + variance - lags) / 2
    drift = np.outer(times, times) / times[-1] ** 2
    return noise / variance[-1] + drift_snr**2 * drift


def path_variance(counts: np.ndarray, rho: float) -> np.ndarray:
    """Variance of the sum of that many AR(1) terms of variance one."""
    short = 2 * rho * (1 - rho**counts) / (1 - rho) ** 2
    return counts * (1 + rho) / (1 - rho) - short


@dataclass(frozen=True)
class Increments:
    """What a Gram matrix says of the steps between the updates.

    `rho` and `drift_snr` are those of expected_gram(); `exponent` is that of
    ||D_t||^2 ~ t^exponent, 1 for a random walk and 2 for a drift. NaN where there are
    too few steps: three for `rho` and `drift_snr`, two for `exponent`.
    """

    rho: float
    drift_snr: float
    exponent: float


def increment_statistics(gram: np.ndarray, steps: Sequence[int]) -> Increments:
    """Moments of a trajectory from <D_s, D_t> [T, T] at ascending steps > 0.

    `rho` and `drift_snr` make the correlations of the increments as close as they get;
    those of their sizes, which follow the learning rate, are left aside.
    """
    times, squares = np.asarray(steps, dtype=float), np.diag(gram)
    if len(times) < 2 or not squares.all():
        return Increments(np.nan, np.nan, np.nan)
    exponent = float(np.polyfit(np.log(times), np.log(squares), 1)[0])
    if len(times) < 3:
        return Increments(np.nan, np.nan, exponent)
    wanted = increment_correlations(gram)

    def error(point: np.ndarray) -> np.ndarray:
        model = expected_gram(times, point[0], odds_root(point[1]))
        return increment_correlations(model) - wanted

    bounds = (-LARGEST_RHO, 0), (LARGEST_RHO, 1 - 1e-6)
    starts = [(rho, share) for rho in (0.0, 0.8) for share in (0.1, 0.7)]
    fits = [least_squares(error, start, bounds=bounds) for start in starts]
    rho, share = min(fits, key=lambda fit: fit.cost).x
    return Increments(float(rho), odds_root(share), exponent)


def odds_root(share: float) -> float:
    """Ratio of two lengths from the share of the first in the sum of their squares."""
    return float(np.sqrt(share / (1 - share)))


def increment_correlations(gram: np.ndarray) -> np.ndarray:
    """Correlations [T (T - 1) / 2] of the T increments, the first one from W_0."""
    padded = np.pad(gram, ((1, 0), (1, 0)))
    inner = np.diff(np.diff(padded, axis=0), axis=1)
    return as_correlation(inner)[np.triu_indices(len(gram), 1)]


def spike_strength(
    norm_share: np.ndarray | float, rows: int, columns: int
) -> np.ndarray | float:
    """Strength of a triplet over ||update||_F whose sigma_1 / ||update||_F is given.

    Independent noise in the rest makes sigma_1 larger than the triplet; the relation is
    Benaych-Georges and Nadakuditi's. 0 where noise alone may give that share.
    """
    square = np.square(norm_share)
    # sigma_1^2 x = (x + (1 - x) / rows)(x + (1 - x) / columns), x the strength squared.
    lead = (1 - 1 / rows) * (1 - 1 / columns)
    middle = (1 - 1 / rows) / columns + (1 - 1 / columns) / rows - square
    rest = middle**2 - 4 * lead / (rows * columns)
    found = (np.sqrt(np.maximum(rest, 0)) - middle) / (2 * lead)
    return np.sqrt(np.where((rest > 0) & (middle < 0), np.minimum(found, 1), 0.0))


def root(matrix: np.ndarray) -> np.ndarray:
    """A matrix R [T, T] with R R' = a positive semidefinite matrix, or nearly one."""
    values, vectors = np.linalg.eigh(matrix)
    return vectors * np.sqrt(np.maximum(values, 0))


def gaussian(
    correlation: np.ndarray, dimension: int, generator: torch.Generator
) -> torch.Tensor:
    """T Gaussian vectors [T, d] float32 of mean square length one, so correlated."""
    size, device = (len(correlation), dimension), generator.device
    noise = torch.randn(size, generator=generator, device=device)
    return torch.as_tensor(root(correlation)).to(noise) @ noise / dimension**0.5


def random_walk(
    rows: int,
    columns: int,
    gram: np.ndarray,
    generator: torch.Generator,
    spike: Sequence[float] | float = 0.0,
) -> list[Factors]:
    """First triplets of T simulated_updates() of that shape."""
    updates = simulated_updates(rows, columns, gram, generator, spike)
    return [leading(update, 1) for update in updates]


def simulated_updates(
    rows: int,
    columns: int,
    gram: np.ndarray,
    generator: torch.Generator,
    spike: Sequence[float] | float = 0.0,
) -> torch.Tensor:
    """Updates [T, rows, columns] float32 of a trajectory without a preferred side.

    They are Gaussian with the correlations of `gram` [T, T]: that of
    expected_gram() for a walk, along a random full-rank drift if it has one; or a
    measured one, which has all of this as it was. `spike`, one value or T, is the
    strength of a triplet over the norm, as from spike_strength(); its vectors turn
    equally on both sides, and so that it has the same correlations. Runs on the device
    of `generator`.
    """
    correlation = as_correlation(gram)
    share = torch.as_tensor(np.broadcast_to(spike, len(gram)).copy())
    share = share.to(generator.device, torch.float32)[:, None, None]
    updates = gaussian(correlation, rows * columns, generator).view(-1, rows, columns)
    if share.any():
        each = np.sqrt(np.maximum(correlation, 0))
        turning = [gaussian(each, size, generator) for size in (rows, columns)]
        left, right = (torch.nn.functional.normalize(side) for side in turning)
        # In place: fresh memory of this size costs more than the arithmetic.
        updates *= (1 - share**2).sqrt()
        updates.baddbmm_(share * left[:, :, None], right[:, None, :])
    return updates


def step_shuffled(
    updates: Sequence[torch.Tensor], generator: torch.Generator
) -> list[Factors]:
    """First triplets of a surrogate: the measured increments in random order.

    What every increment has by itself, a preferred side as well, stays: this is a null
    for the order of the steps. Steps should be evenly spaced. `updates` are T of
    [out, in].
    """
    stack = torch.stack(list(updates))
    increments = stack.diff(dim=0, prepend=torch.zeros_like(stack[:1]))
    order = torch.randperm(len(stack), generator=generator)
    return [leading(update, 1) for update in increments[order].cumsum(0)]


def shuffled_null(
    steps: Sequence[int],
    updates: Sequence[torch.Tensor],
    generator: torch.Generator,
    draws: int,
) -> pd.DataFrame:
    """Means of the pairs over time in `draws` of step_shuffled().

    Rows as NULL_COLUMNS; one matrix has few draws, and means over matrices many.
    """
    each = (step_shuffled(updates, generator) for _ in range(draws))
    return simulated_null(steps, each, least=1)


def simulated_null(
    steps: Sequence[int],
    draws: Iterable[Sequence[Factors]],
    symmetric: bool = False,
    least: int = LEAST_DRAWS,
) -> pd.DataFrame:
    """Null of the pairs over time from simulated trajectories of one shape.

    `draws` are first triplets at `steps`, as from random_walk() or step_shuffled().
    Selection is that of pairs(): both directions identifiable. Rows as NULL_COLUMNS
    for both sides and their difference: mean, standard deviation, number of draws, and
    the standard error of the mean in units of the standard deviation. With fewer than
    `least` mean and sd are NaN. `symmetric` says that both sides have the same
    law, so that their difference has mean zero.
    """
    draws = list(draws)
    drawn = [first_cosines(each) for each in draws]
    left, right = (np.stack([each[side] for each in drawn]) for side in (LEFT, RIGHT))
    values = {LEFT: left, RIGHT: right, CONTRAST: left - right}
    if symmetric:
        both = np.concatenate([left, right])
        difference = np.concatenate([left - right, right - left])
        values = {LEFT: both, RIGHT: both, CONTRAST: difference}
    first = draws[0][0]
    shape = {"rows": len(first.left), "columns": first.right.shape[1]}
    rows = []
    for side, sample in values.items():
        count = np.isfinite(left).sum(0)
        exact = symmetric and side == CONTRAST
        for kind, links in step_links(len(steps)).items():
            for i, j in links:
                ends = {"kind": kind, "step": steps[i], "other": str(steps[j])}
                known = sample[:, i, j][np.isfinite(sample[:, i, j])]
                found = summary(known, int(count[i, j]), exact, least)
                rows.append({"side": side, **shape, **ends, **found})
    return pd.DataFrame(rows, columns=NULL_COLUMNS)


def summary(sample: np.ndarray, draws: int, exact: bool, least: int) -> dict:
    """Mean, standard deviation and error of a sample."""
    if draws < least:
        return {"mean": np.nan, "sd": np.nan, "error": np.nan, "draws": draws}
    error = 0.0 if exact else draws**-0.5
    sd = sample.std(ddof=1) if len(sample) > 1 else np.nan
    return {"mean": sample.mean(), "sd": sd, "error": error, "draws": draws}


def walk_alignment(
    rows: int,
    columns: int,
    steps: Sequence[int],
    gram: np.ndarray,
    generator: torch.Generator,
    spike: Sequence[float] | float = 0.0,
    draws: int = 100,
) -> pd.DataFrame:
    """Null of the pairs over time of one shape, from `draws` of random_walk().

    One serves all matrices of a shape with about these correlations. Without a spike a
    large matrix hardly ever has an identifiable direction (8 % of walks at 576 x 576,
    none in 48 at 1536 x 576), and so no null: the measured spike belongs to it.
    """
    walks = (random_walk(rows, columns, gram, generator, spike) for _ in range(draws))
    return simulated_null(steps, walks, symmetric=rows == columns)


def independent_alignment(rows: int, columns: int) -> pd.DataFrame:
    """Null of the pairs across layers and seeds of one shape: independent directions.

    In closed form: `draws` and `error` are 0.
    """
    (left, left_sd), (right, right_sd) = map(random_cosine, (rows, columns))
    sides = {
        LEFT: (left, left_sd),
        RIGHT: (right, right_sd),
        CONTRAST: (left - right, float(np.hypot(left_sd, right_sd))),
    }
    same = {"rows": rows, "columns": columns, "step": 0, "other": ""}
    same |= {"error": 0.0, "draws": 0}
    found = [
        {"kind": kind, "side": side, "mean": mean, "sd": sd, **same}
        for kind in (ACROSS_LAYERS, ACROSS_SEEDS)
        for side, (mean, sd) in sides.items()
    ]
    return pd.DataFrame(found, columns=NULL_COLUMNS)


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
        delta = clustered(cell, "delta", seed, draws)
        row |= {"delta": delta.value, "low": delta.low, "high": delta.high}
        z = clustered(cell, "z", seed, draws, simulation_error(cell))
        rows.append(row | {"z": z.value, "z_low": z.low, "z_high": z.high})
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


def clustered(
    matrices: pd.DataFrame, value: str, seed: int, draws: int, error: float = 0.0
) -> Estimate:
    """Mean of a column over matrices, or pairs of them, with layers resampled.

    Their layers are in the columns `layer` and `second`, the same but across layers.
    `error` is the standard deviation of normal noise to add to the resampled means.
    The interval is NaN with fewer than two layers, or two pairs of them.
    """
    known = matrices.dropna(subset=value)
    if known.empty:
        return Estimate(np.nan, np.nan, np.nan)
    sums, counts = layer_sums(known, value)
    mean, clusters = float(known[value].mean()), len(sums)
    weights, noise = layer_weights(clusters, seed, draws)
    if (known["layer"] == known["second"]).all():
        total, number = (weights @ np.diag(each) for each in (sums, counts))
    else:
        total, number = ((weights @ each * weights).sum(1) for each in (sums, counts))
    there = number > 0
    drawn = total[there] / number[there] + error * noise[there]
    return clustered_interval(mean, drawn, min(clusters, np.count_nonzero(counts)))


@cache
def layer_weights(clusters: int, seed: int, draws: int) -> tuple[np.ndarray, ...]:
    """How often each layer is drawn [draws, L], and standard normal noise [draws]."""
    rng = np.random.default_rng(seed)
    weights = rng.multinomial(clusters, np.full(clusters, 1 / clusters), size=draws)
    return weights.astype(float), rng.standard_normal(draws)


def layer_sums(matrices: pd.DataFrame, value: str) -> tuple[np.ndarray, np.ndarray]:
    """Sums of a column and numbers of rows [L, L] by `layer` and `second` layer."""
    ends = matrices[["layer", "second"]].to_numpy()
    layers, places = np.unique(ends, return_inverse=True)
    places = tuple(places.reshape(ends.shape).T)
    sums, counts = np.zeros((2, len(layers), len(layers)))
    np.add.at(sums, places, matrices[value].to_numpy())
    np.add.at(counts, places, 1)
    return sums, counts


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
    LEAST_R2 at least, as a walk, whose coefficient stays where it was, has no limit.
    """
    times, found = np.asarray(steps, dtype=float), first_coefficients(gram, known)
    line, later = np.polyfit(times[:known], found[:known], 1), found[known:]
    rest = np.square(later - np.polyval(line, times[known:])).sum()
    spread = np.square(later - later.mean()).sum()
    return float(1 - min(rest / spread, 1 - LEAST_R2)) if spread > 0 else LEAST_R2


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


def walk_null(
    steps: Sequence[int],
    draws: int,
    generator: np.random.Generator,
    rho: float = 0.0,
    drift_snr: float = 0.0,
    dimension: int = 10**6,
    describe: Callable[..., dict[str, float]] = trajectory_statistics,
) -> pd.DataFrame:
    """Statistics of simulated walks, one row a draw.

    The Gram matrix of a Gaussian walk in R^d (d = `dimension` >= T) has a Wishart law,
    so no matrix of that size is made; for d >> T all draws are alike.
    """
    mix, count = root(expected_gram(steps, rho, drift_snr)), len(steps)
    noise = wishart.rvs(dimension, np.eye(count), size=draws, random_state=generator)
    grams = mix @ noise.reshape(draws, count, count) @ mix.T / dimension
    return pd.DataFrame([describe(each, steps) for each in grams])
