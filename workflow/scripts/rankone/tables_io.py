"""Result tables: read, written, put under each other, and ordered by arm."""

import logging
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import pandas as pd

from rankone.artefacts import stamped
from rankone.errors import UserError
from rankone.files import replacing
from rankone.names import ALL_RUNS, BASE, arm_of

logger = logging.getLogger(__name__)

FLOAT_FORMAT = "%.6g"


def read_table(path: str | Path) -> pd.DataFrame:
    """A table by its suffix: Parquet, else tab-separated text.

    Raises UserError naming a file that cannot be read.
    """
    path = Path(path)
    try:
        if path.suffix == ".parquet":
            return pd.read_parquet(path)
        return pd.read_csv(path, sep="\t")
    except (OSError, ValueError) as error:
        raise UserError(
            f"Cannot read the table {path} ({error}); remove it and run its rule again."
        ) from error


def write_table(
    table: pd.DataFrame, path: str | Path, float_format: str | None = FLOAT_FORMAT
) -> None:
    """Write a table by its suffix; the file appears whole or not at all.

    Numbers in text have `float_format`, or all their digits without one.
    """
    with replacing(path) as temporary:
        if temporary.suffix == ".parquet":
            write_parquet(table, temporary)
        else:
            table.to_csv(temporary, sep="\t", index=False, float_format=float_format)


def write_parquet(table: pd.DataFrame, path: Path) -> None:
    """Write a table as Parquet, with what it was made from in its metadata."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns = pa.Table.from_pandas(table, preserve_index=False)
    pq.write_table(stamped(columns), path, compression="zstd")


def write_tables(
    tables: Mapping[str, pd.DataFrame],
    outputs: Mapping[str, str | Path],
    arms: Sequence[str],
) -> None:
    """Write every table that `outputs` names, its rows in the order of the arms."""
    for name, path in outputs.items():
        write_table(with_arms(tables[name], arms), path)
        logger.info("%s: %d rows in %s", name, len(tables[name]), path)


def require_columns(table: pd.DataFrame, columns: Iterable[str], path: object) -> None:
    """Raise UserError naming the file if one of `columns` is missing."""
    missing = sorted(set(columns) - set(table.columns))
    if missing:
        raise UserError(f"{path} lacks the columns {', '.join(missing)}.")


def concatenate(paths: Sequence[str | Path], columns: Sequence[str]) -> pd.DataFrame:
    """The tables of several files under each other, each with at least `columns`.

    Columns of an empty table have no type and would spoil that of the others.
    """
    tables = [read_table(path) for path in paths]
    for table, path in zip(tables, paths, strict=True):
        require_columns(table, columns, path)
    found = [table for table in tables if len(table)]
    return pd.concat(found or tables[:1], ignore_index=True)


def with_arms(table: pd.DataFrame, arms: Sequence[str]) -> pd.DataFrame:
    """The table with a first column `arm`, its rows in the order of `arms`.

    The base is an arm by itself and comes first; what belongs to all arms comes last.
    """
    order = [BASE, *arms, ALL_RUNS]
    found = table["arm"] if "arm" in table else table["run"].map(arm_of)
    position = found.map({arm: i for i, arm in enumerate(order)})
    table = table.drop(columns="arm", errors="ignore").assign(arm=found)
    table = table.iloc[position.argsort(kind="stable")].reset_index(drop=True)
    return table[["arm", *table.columns.drop("arm")]]


def with_all_runs(table: pd.DataFrame) -> pd.DataFrame:
    """The rows of every run, and again those of an arm's runs as one run, `all`.

    The long form of names.groups_of_runs(), with the columns `arm` and `member`, the
    run that a row is of. The base is in no arm.
    """
    table = table.assign(arm=table["run"].map(arm_of), member=table["run"])
    together = table[table["run"] != BASE].assign(run=ALL_RUNS)
    return pd.concat([table, together], ignore_index=True)


def main_arm(table: pd.DataFrame) -> pd.DataFrame:
    """Rows of the base and of the first arm, with which the others are compared."""
    arms = [arm for arm in table["arm"].unique() if arm != BASE]
    return table[table["arm"].isin([BASE, *arms[:1]])]
