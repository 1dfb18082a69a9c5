"""Tables of the geometry of updates: every statistic beside its null, over layers.

Matrices of one layer are not independent, so that intervals resample layers with all
their matrices, in all runs of an arm together.
"""

import numpy as np
import pandas as pd

from rankone.geometry.spectra import BASE, COMPARED, TRAINED
from rankone.statistics.clustered import paired_over_layers
from rankone.statistics.hypothesis_tests import benjamini_hochberg, monte_carlo_p
from rankone.statistics.intervals import LEVEL
from rankone.tables_io import with_all_runs

# Nulls of equal matrices may differ in their last bits.
TIE = 1e-12

MATRIX_KEY = ["run", "step", "layer", "module", "tensor"]
ESTIMATE_COLUMNS = [
    *("value", "null_value", "difference", "low", "high", "p"),
    *("n", "layers", "runs", "below", "above"),
]
RUN_KEY = ["arm", "run", "step"]
TAIL_COLUMNS = [*RUN_KEY, "object", "null", "statistic", *ESTIMATE_COLUMNS]
ANATOMY_COLUMNS = [*RUN_KEY, "view", "statistic", "null", *ESTIMATE_COLUMNS]
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
        key: each.dropna().to_numpy() for key, each in long.groupby(cell)["residual"]
    }
    means = own.mean().rename("null_mean").reset_index()
    keys = [*MATRIX_KEY, "shape", "object"]
    measured = values.melt(keys, COMPARED, "statistic", "value")
    shared = means[means["tensor"] == ""].drop(columns="tensor")
    table = pd.concat(
        [
            measured.merge(means, on=["object", "shape", "statistic", "tensor"]),
            measured.merge(shared, on=["object", "shape", "statistic"]),
        ],
        ignore_index=True,
    )
    table["p"] = np.nan
    for key, rows in table.groupby(cell):
        deviations = (rows["value"] - rows["null_mean"]).to_numpy()
        p = monte_carlo_p(deviations, residuals[key][:, None], rtol=TIE)
        table.loc[rows.index, "p"] = p
    return table


def beside_base(values: pd.DataFrame) -> pd.DataFrame:
    """Rows like those of beside_nulls() of each W_t with its own W_0 as the null."""
    keys = [*MATRIX_KEY, "shape", "object"]
    long = values.melt(keys, COMPARED, "statistic", "value")
    base = long.loc[long["object"] == BASE, ["tensor", "statistic", "value"]]
    base = base.rename(columns={"value": "null_mean"})
    trained = long[long["object"] == TRAINED]
    both = trained.merge(base, on=["tensor", "statistic"])
    return both.assign(null=BASE, p=np.nan)


def over_layers(
    matrices: pd.DataFrame, key: list[str], columns: list[str], seed: int, draws: int
) -> pd.DataFrame:
    """One row a cell of `key`: mean value, mean null, and their difference over layers.

    `matrices` has value, null_mean and, where it is known, the p of each matrix.
    `below` and `above` are the shares of matrices that are clearly so, with p adjusted
    over the cell by Benjamini and Hochberg; `p` is Wilcoxon's over the layers' means.
    """
    rows = []
    key = [*RUN_KEY, *key]
    for cell, members in with_all_runs(matrices).groupby(key, sort=False):
        pairs = members.dropna(subset=["value", "null_mean"])
        if pairs.empty:
            continue
        estimate = paired_over_layers(pairs, seed, draws)
        row = dict(zip(key, cell, strict=True)) | estimate.columns("difference")
        row |= {"value": pairs["value"].mean(), "null_value": pairs["null_mean"].mean()}
        row |= {"p": estimate.p, "n": estimate.matrices, "layers": estimate.layers}
        row["runs"] = pairs["member"].nunique()
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
