"""Tables of the geometry of updates: every statistic beside its null, over layers.

Matrices of one layer are not independent, so that intervals resample layers with all
their matrices, in all runs of an arm together.
"""

import numpy as np
import pandas as pd

from rankone.geometry.spectra import BASE, COMPARED, TRAINED
from rankone.names import ALL_RUNS, arm_of
from rankone.statistics.clustered import paired_over_layers
from rankone.statistics.hypothesis_tests import benjamini_hochberg
from rankone.statistics.intervals import LEVEL

MATRIX_KEY = ["run", "step", "layer", "module", "tensor"]
ESTIMATE_COLUMNS = [
    *("value", "null_value", "difference", "low", "high", "p"),
    *("n", "layers", "runs", "below", "above"),
]
PLACE = ["arm", "run", "step"]
TAIL_COLUMNS = [*PLACE, "object", "null", "statistic", *ESTIMATE_COLUMNS]
ANATOMY_COLUMNS = [*PLACE, "view", "statistic", "null", *ESTIMATE_COLUMNS]
# Endings of the columns that hold the value of a null.
NULL_ENDINGS = {"_null": "chance", "_sign_null": "signs", "_margin_null": "margin"}


def beside_nulls(values: pd.DataFrame, draws: pd.DataFrame) -> pd.DataFrame:
    """One row a matrix, object, null and statistic: value, null_mean, p.

    Each matrix has a null mean of its own, from its own few draws; the spread around
    the means is pooled over the matrices of a shape, so that few draws give a p that is
    small enough to be counted among hundreds. With n draws of a matrix, residuals are
    too short by sqrt((n - 1) / n) and its value is too far by sqrt((n + 1) / n), which
    is put right.
    """
    cell = ["object", "null", "shape", "statistic"]
    long = draws.melt([*cell[:3], "tensor"], COMPARED, "statistic", "drawn")
    own = long.groupby([*cell, "tensor"])["drawn"]
    mean, count = own.transform("mean"), own.transform("count")
    long["residual"] = (long["drawn"] - mean) * np.sqrt((count + 1) / (count - 1))
    residuals = {
        key: np.sort(each.abs().dropna().to_numpy())
        for key, each in long.groupby(cell)["residual"]
    }
    means = own.mean().rename("null_mean").reset_index()
    keys = [*MATRIX_KEY, "shape", "object"]
    found = values.melt(keys, COMPARED, "statistic", "value")
    shared = means[means["tensor"] == ""].drop(columns="tensor")
    table = pd.concat(
        [
            found.merge(means, on=["object", "shape", "statistic", "tensor"]),
            found.merge(shared, on=["object", "shape", "statistic"]),
        ],
        ignore_index=True,
    )
    places = table[cell].itertuples(index=False, name=None)
    distances = (table["value"] - table["null_mean"]).abs()
    pairs = [
        pooled_p(residuals[place], distance)
        for place, distance in zip(places, distances, strict=True)
    ]
    return table.assign(p=pairs)


def pooled_p(residuals: np.ndarray, distance: float) -> float:
    """(1 + number of residuals at least as far) / (number + 1); they ascend."""
    if np.isnan(distance) or not len(residuals):
        return np.nan
    # Equal values may differ in their last bits.
    farther = len(residuals) - np.searchsorted(residuals, distance * (1 - 1e-12))
    return (1 + farther) / (1 + len(residuals))


def beside_base(values: pd.DataFrame) -> pd.DataFrame:
    """Rows like those of beside_nulls() of each W_t with its own W_0 as the null."""
    keys = [*MATRIX_KEY, "shape", "object"]
    long = values.melt(keys, COMPARED, "statistic", "value")
    base = long.loc[long["object"] == BASE, ["tensor", "statistic", "value"]]
    base = base.rename(columns={"value": "null_mean"})
    trained = long[long["object"] == TRAINED]
    found = trained.merge(base, on=["tensor", "statistic"])
    return found.assign(null=BASE, p=np.nan)


def by_run(table: pd.DataFrame) -> pd.DataFrame:
    """The rows of every run, and again those of all runs of an arm as the run `all`."""
    table = table.assign(arm=table["run"].map(arm_of), member=table["run"])
    pooled = table[table["run"] != BASE].assign(run=ALL_RUNS)
    return pd.concat([table, pooled], ignore_index=True)


def over_layers(
    matrices: pd.DataFrame, key: list[str], columns: list[str], seed: int, draws: int
) -> pd.DataFrame:
    """One row a cell of `key`: mean value, mean null, and their difference over layers.

    `matrices` has value, null_mean and, where it is known, the p of each matrix.
    `below` and `above` are the shares of matrices that are clearly so, with p adjusted
    over the cell by Benjamini and Hochberg; `p` is Wilcoxon's over the layers' means.
    """
    rows = []
    for cell, found in by_run(matrices).groupby([*PLACE, *key], sort=False):
        pairs = found.dropna(subset=["value", "null_mean"]).assign(statistic="")
        if pairs.empty:
            continue
        estimate = paired_over_layers(pairs, "", seed=seed, draws=draws)
        row = dict(zip([*PLACE, *key], cell, strict=True))
        row |= {"value": pairs["value"].mean(), "null_value": pairs["null_mean"].mean()}
        row |= {"difference": estimate.value, "low": estimate.low}
        row |= {"high": estimate.high, "p": estimate.p, "n": estimate.matrices}
        row |= {"layers": estimate.layers, "runs": pairs["member"].nunique()}
        rows.append(row | shares_beyond(pairs))
    return pd.DataFrame(rows, columns=columns)


def shares_beyond(pairs: pd.DataFrame) -> dict[str, float]:
    """Shares of matrices clearly below and clearly above their null."""
    if "p" not in pairs or pairs["p"].isna().all():
        return {"below": np.nan, "above": np.nan}
    clear = benjamini_hochberg(pairs["p"]) <= 1 - LEVEL
    lower = pairs["value"] < pairs["null_mean"]
    return {"below": (clear & lower).mean(), "above": (clear & ~lower).mean()}


def tails_table(matrices: pd.DataFrame, seed: int, draws: int) -> pd.DataFrame:
    """Statistics of spectra over layers; rows of beside_nulls() and beside_base()."""
    key = ["object", "null", "statistic"]
    return over_layers(matrices, key, TAIL_COLUMNS, seed, draws)


def anatomy_table(matrices: pd.DataFrame, seed: int, draws: int) -> pd.DataFrame:
    """Statistics of anatomy.examine() or overlaps() over layers, beside each null."""
    parts = [
        matrices[["run", "step", "layer", "view"]].assign(
            statistic=column.removesuffix(ending),
            null=null,
            value=matrices[column.removesuffix(ending)],
            null_mean=matrices[column],
        )
        for column in matrices.columns
        for ending, null in NULL_ENDINGS.items()
        if column.removesuffix(ending) in matrices and column.endswith(ending)
    ]
    key = ["view", "statistic", "null"]
    return over_layers(pd.concat(parts), key, ANATOMY_COLUMNS, seed, draws)
