"""Long tables whose items are paired across the base, variants and runs."""

from collections.abc import Hashable, Sequence

import numpy as np
import pandas as pd

from rankone.errors import UserError
from rankone.names import BASE


def check_unique(table: pd.DataFrame, key: Sequence[str], where: str) -> None:
    """Raise UserError if rows of `table` agree in `key`, whose last column is the item.

    `where` is the name of the table, for messages.
    """
    repeated = table[table.duplicated(list(key))]
    if len(repeated):
        first, item = repeated.iloc[0], key[-1]
        raise UserError(
            f"{where}: {len(repeated)} {item} ids occur twice, first `{first[item]}` "
            f"of {first['variant']}; expected one row for each {', '.join(key)}, and "
            "the base once for all runs."
        )


def check_same_items(
    table: pd.DataFrame, items: set, cell: Sequence[str], item: str, where: str
) -> None:
    """Raise UserError unless every cell of `table` has exactly the base's `items`.

    A cell has one value of each of the columns `cell`, the last of them the variant.
    """
    for (*others, variant), rows in table.groupby(list(cell)):
        unpaired = items ^ set(rows[item])
        if unpaired:
            raise UserError(
                f"{where}: {len(unpaired)} {item}s of {variant} ({', '.join(others)}) "
                f"are not the base's, first `{min(unpaired, key=str)}`; measure both "
                f"again on the same {item}s."
            )


def paired_cube(
    table: pd.DataFrame,
    keys: Sequence[Sequence[Hashable]],
    columns: Sequence[str],
    item: str,
    value: str,
) -> np.ndarray:
    """Values (runs, V, items) of a long table, the items in the same order throughout.

    `keys` has for every run V values of `columns`: a key may be in several runs, as
    with_base() repeats the base.
    """
    wide = table.pivot(index=list(columns), columns=item, values=value)
    return np.stack([wide.loc[list(of_run)].to_numpy() for of_run in keys])


def with_base(
    runs: Sequence[str], variants: Sequence[str]
) -> list[list[tuple[str, str]]]:
    """The run and variant of every cell of a cube: the base is one for all runs."""
    return [[(BASE if v == BASE else run, v) for v in variants] for run in runs]


def shared_values(table: pd.DataFrame, runs: Sequence[str], column: str) -> list[str]:
    """Values of `column` that every one of these runs has, sorted."""
    sets = [set(table.loc[table["run"] == run, column]) for run in runs]
    return sorted(set.intersection(*sets))
