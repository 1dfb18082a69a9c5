"""How much variants forget, and how far the KL from the base explains it.

Source: RL's Razor, arXiv 2509.04259 (forgetting follows the forward KL on the
new task).
"""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from rankone.analysis.pairing import paired_cube
from rankone.errors import UserError
from rankone.names import ALL_RUNS, BASE, KNOWLEDGE, arm_of
from rankone.statistics.intervals import DRAWS, Estimate, Sample, bootstrap, percentile

BAND_POINTS = 101
MIN_VARIANTS = 3
RESIDUAL_COLUMNS = [
    *("variant", "kl", "forgetting", "low", "high", "fitted", "leverage"),
    *("residual", "residual_low", "residual_high"),
    *("excess", "excess_low", "excess_high", "extrapolated"),
]
FORGETTING_COLUMNS = [
    *("arm", "run", "variant", "recipe", "kl", "kl_low", "kl_high"),
    *(c for c in RESIDUAL_COLUMNS if c not in ("variant", "kl")),
    *("n", "runs"),
]
CURVE_COLUMNS = ["arm", "kl", "value", "low", "high", "r2", "r2_out"]


@dataclass(frozen=True)
class ForgettingPoints:
    """Forgetting of V variants: base score minus theirs, and their KL in nats.

    `kl` and `forgetting` are (V,), `draws` (draws, V) forgettings on resampled items,
    `floor` the least half-width of an interval of one of them.
    """

    variants: list[str]
    kl: np.ndarray
    forgetting: np.ndarray
    draws: np.ndarray
    floor: float

    def combine(self, weights: np.ndarray) -> Estimate:
        """A weighted sum (V,) of the forgettings."""
        floor = self.floor * float(np.linalg.norm(weights))
        return percentile(weights @ self.forgetting, self.draws @ weights, floor)


@dataclass(frozen=True)
class ForgettingCurve:
    """forgetting = linear * KL + quadratic * KL^2, and how far variants are from it.

    `band` has kl, value, low and high; `residuals` one row per variant
    (RESIDUAL_COLUMNS). `r2_out` is the R2 of every variant predicted from the others.
    """

    linear: Estimate
    quadratic: Estimate
    band: pd.DataFrame
    residuals: pd.DataFrame
    r2: float
    r2_out: float


def forgetting_points(
    sample: Sample, variants: Sequence[str], kl: ArrayLike, reference: int = 0
) -> ForgettingPoints:
    """Forgetting of all variants of a sample but the reference, the base.

    `variants` and `kl` name all V of them, the reference included.
    """
    kl = np.asarray(kl, dtype=np.float64)
    if not len(variants) == len(kl) == len(sample.observed):
        raise ValueError("variants, kl and sample: expected the same number of each")
    others = [index for index in range(len(kl)) if index != reference]
    return ForgettingPoints(
        [variants[index] for index in others],
        kl[others],
        sample.observed[reference] - sample.observed[others],
        sample.draws[:, [reference]] - sample.draws[:, others],
        sample.floor,
    )


def forgetting_curve(points: ForgettingPoints) -> ForgettingCurve:
    """Quadratic least-squares fit through the origin: no KL, no forgetting.

    `residual` is a variant's forgetting minus the curve; `excess` is the same with the
    curve of the other variants, which answers whether it forgets less at equal KL
    (below zero with its interval). It says little where `extrapolated`, that is where
    no other variant has at least its KL. All intervals are over items, and paired: they
    leave out the error of the KL and the scatter of variants around any curve, so that
    with very many items every variant departs from it.

    Raises UserError unless three variants differ in a KL above zero.
    """
    kl = points.kl
    distinct = np.unique(kl[kl > 0])
    if not (np.isfinite(kl).all() and (kl >= 0).all()) or len(distinct) < MIN_VARIANTS:
        raise UserError(
            f"Forgetting against KL needs {MIN_VARIANTS} variants with different "
            f"finite KL above zero; found {len(distinct)} in {kl.tolist()}."
        )
    scale = kl.max()
    design = np.stack([kl / scale, (kl / scale) ** 2], axis=1)
    solve = np.linalg.pinv(design)
    linear, quadratic = solve / np.array([[scale], [scale**2]])
    residuals = _residuals(points, design @ solve)
    return ForgettingCurve(
        points.combine(linear),
        points.combine(quadratic),
        _band(points, solve),
        residuals,
        _r2(residuals["residual"], points.forgetting),
        _r2(residuals["excess"], points.forgetting),
    )


def _band(points: ForgettingPoints, solve: np.ndarray) -> pd.DataFrame:
    """The curve from zero to the largest KL; `solve` is the design's inverse (2, V)."""
    share = np.linspace(0, 1, BAND_POINTS)
    fitted = np.stack([share, share**2], axis=1) @ solve
    found = [points.combine(weights) for weights in fitted]
    table = pd.DataFrame(found, columns=["value", "low", "high"])
    table.insert(0, "kl", share * points.kl.max())
    return table


def _residuals(points: ForgettingPoints, hat: np.ndarray) -> pd.DataFrame:
    """One row per variant; `hat` (V, V) maps forgettings to fitted ones."""
    rows = []
    for index, weights in enumerate(np.eye(len(hat)) - hat):
        own, leverage = np.eye(len(hat))[index], hat[index, index]
        row = {"variant": points.variants[index], "kl": points.kl[index]}
        row |= points.combine(own).columns("forgetting")
        row |= {"fitted": hat[index] @ points.forgetting, "leverage": leverage}
        for name, scale in (("residual", 1.0), ("excess", 1 / (1 - leverage))):
            row |= points.combine(scale * weights).columns(name, f"{name}_")
        others = np.delete(points.kl, index)
        rows.append(row | {"extrapolated": bool(points.kl[index] > others.max())})
    return pd.DataFrame(rows, columns=RESIDUAL_COLUMNS)


def _r2(residuals: pd.Series, forgetting: np.ndarray) -> float:
    """Share of the variance over variants that is explained; NaN without any."""
    spread = np.square(forgetting - forgetting.mean()).sum()
    return float(1 - np.square(residuals).sum() / spread) if spread else np.nan


def forgetting_tables(
    items: pd.DataFrame,
    kl: pd.DataFrame,
    arms: Mapping[str, str | None],
    seed: int,
    draws: int = DRAWS,
) -> dict[str, pd.DataFrame]:
    """The tables `forgetting` and `forgetting_curve`, through the variants of all arms.

    Forgetting is the base's mean score over the knowledge benchmarks minus a variant's,
    mean over the runs of its arm; KL is that of the rows `all` of `kl`, which is
    likelihood.kl_table(). `items` are of one step of each run. The first table has a
    row (FORGETTING_COLUMNS) per arm and variant with both, the second the curve with
    its band (CURVE_COLUMNS). Both are empty where forgetting_curve() has too few
    variants.
    """
    items = items[items["domain"] == KNOWLEDGE]
    items = items.assign(arm=items["run"].map(arm_of))
    own = items.groupby(["arm", "variant"])["run"].unique().rename("own")
    points = kl[kl["run"] == ALL_RUNS].merge(own.reset_index(), on=["arm", "variant"])
    if points.loc[points["kl"] > 0, "kl"].nunique() < MIN_VARIANTS:
        return {
            "forgetting": pd.DataFrame(columns=FORGETTING_COLUMNS),
            "forgetting_curve": pd.DataFrame(columns=CURVE_COLUMNS),
        }
    sample = _means_of_runs(items, points, seed, draws)
    found = forgetting_curve(
        forgetting_points(sample, [BASE, *points["variant"]], [0.0, *points["kl"]])
    )
    table = points.rename(columns={"low": "kl_low", "high": "kl_high"}).assign(
        recipe=points["arm"].map(arms),
        n=items["item"].groupby(items["benchmark"]).nunique().sum(),
        runs=points["own"].map(len),
    )
    fit = found.residuals.drop(columns=["variant", "kl"])
    band = found.band.assign(arm=ALL_RUNS, r2=found.r2, r2_out=found.r2_out)
    return {
        "forgetting": table.join(fit)[FORGETTING_COLUMNS],
        "forgetting_curve": band[CURVE_COLUMNS],
    }


def _means_of_runs(
    items: pd.DataFrame, points: pd.DataFrame, seed: int, draws: int
) -> Sample:
    """Mean scores of the base and of every point (`variant`, and `own`, its runs).

    Items are resampled, the same for all; so are runs, the same for arms with as many.
    """
    keys = [(run, point.variant) for point in points.itertuples() for run in point.own]
    strata = [
        paired_cube(
            rows,
            [[(BASE, BASE), *keys]],
            columns=["run", "variant"],
            item="item",
            value="score",
        )
        for _, rows in items.groupby("benchmark")
    ]
    single = bootstrap(strata, np.random.default_rng(seed), draws)
    means = [single.observed[:1]]
    drawn = [single.draws[:, 0]]
    ends = np.cumsum([1, *points["own"].map(len)])
    for first, end in itertools.pairwise(ends):
        size = end - first
        # Not the generator of the items: their draws must not depend on each other.
        rng = np.random.default_rng([seed, size])
        weights = rng.multinomial(size, np.full(size, 1 / size), draws) / size
        means.append(single.observed[first:end].mean(keepdims=True))
        drawn.append((weights * single.draws[:, first:end]).sum(axis=1))
    return Sample(np.concatenate(means), np.stack(drawn, axis=1), single.floor)
