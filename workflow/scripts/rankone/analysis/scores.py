"""Stage files in, tidy tables out: training, scores, differences, recovery, spectra.

Items are paired by (benchmark, item) across the base, all variants and all runs; files
whose items do not pair are refused.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from rankone.analysis.pairing import (
    check_same_items,
    check_unique,
    paired_cube,
    shared_values,
    with_base,
)
from rankone.errors import UserError
from rankone.names import (
    ALL_RUNS,
    BASE,
    FULL,
    GAIN_DOMAIN,
    MEAN,
    TRAIN_PROBE,
    arm_of,
    groups_of_runs,
)
from rankone.statistics.intervals import (
    DRAWS,
    Sample,
    bootstrap,
    bootstrap_mean,
    paired_difference,
    recovery,
    wilson,
)
from rankone.tables_io import read_table, require_columns

# Problems seen in training say nothing about a domain; they get rows of their own.
OUTSIDE_MEAN = frozenset({TRAIN_PROBE})
METRIC_KEYS = ["run", "step"]
ITEM_COLUMNS = ["run", "step", "variant", "benchmark", "domain", "item", "score"]
ITEM_KEY = ["run", "step", "variant", "benchmark", "item"]
CELL = ["arm", "run", "step", "variant", "benchmark", "domain", "n", "runs"]
CELL_ORDER = ["arm", "run", "step", "domain", "benchmark", "variant"]
COLUMNS = {
    "training": ["arm", "run", "step", "quantity", "n", "value", "low", "high"],
    "scores": [*CELL, "score", "low", "high"],
    "differences": [*CELL, "difference", "low", "high"],
    "recovery": [
        *CELL,
        *("gain", "gain_low", "gain_high", "recovery", "low", "high", "status"),
    ],
}


def read_items(paths: Sequence[str | Path]) -> pd.DataFrame:
    """Item-level scores of all evaluation files, checked to be paired.

    Returns ITEM_COLUMNS sorted by ITEM_KEY. Raises UserError naming the file if item
    ids repeat, a score is not in [0, 1], there is no base, or the items of a
    benchmark are not the base's.
    """
    tables = {str(path): read_table(path) for path in paths}
    for path, table in tables.items():
        require_columns(table, ITEM_COLUMNS, path)
        _check_items(table, path)
    base = pd.concat([table[table["variant"] == BASE] for table in tables.values()])
    if base.empty:
        raise UserError(
            f"None of the {len(paths)} evaluation files holds the variant `{BASE}`, "
            "which everything is compared with; evaluate the base model too."
        )
    check_unique(base, ITEM_KEY, "The base's evaluation files together")
    expected = {name: set(rows["item"]) for name, rows in base.groupby("benchmark")}
    for path, table in tables.items():
        _check_paired(table, expected, path)
    items = pd.concat([table[ITEM_COLUMNS] for table in tables.values()])
    return items.sort_values(ITEM_KEY, ignore_index=True)


def _check_items(table: pd.DataFrame, path: str) -> None:
    check_unique(table, ITEM_KEY, path)
    wrong = table[~table["score"].between(0, 1)]
    if len(wrong):
        first = wrong.iloc[0]
        raise UserError(
            f"{path}: item `{first['item']}` of {first['benchmark']} has the score "
            f"{first['score']}; expected a number from 0 to 1."
        )


def _check_paired(table: pd.DataFrame, expected: dict[str, set], path: str) -> None:
    for benchmark, rows in table.groupby("benchmark"):
        if benchmark not in expected:
            raise UserError(f"{path}: the base was not evaluated on {benchmark}.")
        cell = ["benchmark", "variant"]
        check_same_items(rows, expected[benchmark], cell, "item", path)


def training_table(metrics: pd.DataFrame, scores: pd.DataFrame) -> pd.DataFrame:
    """Everything that is plotted against the training step, in long form.

    Metrics of each step (no interval: one batch) and the accuracies of the `full`
    variant with theirs; the base's accuracies are repeated at step 0 of each run. Runs
    without metrics, which were imported, are left out.
    """
    numbers = metrics.select_dtypes("number").columns.difference(METRIC_KEYS)
    long = metrics.melt(METRIC_KEYS, numbers, "quantity", "value")
    accuracy = scores[(scores["benchmark"] != MEAN) & (scores["run"] != ALL_RUNS)]
    base = accuracy[accuracy["run"] == BASE]
    runs = metrics["run"].drop_duplicates()
    parts = [accuracy[accuracy["run"].isin(runs) & (accuracy["variant"] == FULL)]]
    parts += [base.assign(run=run) for run in runs]
    accuracy = pd.concat(parts).rename(
        columns={"benchmark": "quantity", "score": "value"}
    )
    table = pd.concat([long, accuracy], ignore_index=True)
    table["arm"] = table["run"].map(arm_of)
    table = table.reindex(columns=COLUMNS["training"])
    table["n"] = table["n"].astype("Int64")
    return table.sort_values(["run", "quantity", "step"], ignore_index=True)


def score_tables(
    items: pd.DataFrame, seed: int, draws: int = DRAWS
) -> dict[str, pd.DataFrame]:
    """The tables `scores`, `differences` and `recovery` from paired items.

    One row per arm, run, step, variant and benchmark; the benchmark `mean` is the
    unweighted mean over a domain's benchmarks, the run `all` is the mean over the runs
    of an arm.
    """
    rows: dict[str, list[dict]] = {"scores": [], "differences": [], "recovery": []}
    for cell in cells(items):
        sample = cell.sample(seed, draws)
        _add_variant_rows(rows, cell.key, sample, cell.variants)
    tables = {name: pd.DataFrame(rows[name], columns=COLUMNS[name]) for name in rows}
    return {
        name: table.sort_values(CELL_ORDER, ignore_index=True)
        for name, table in tables.items()
    }


@dataclass(frozen=True)
class Cell:
    """Paired scores of one benchmark, or of a domain, in some runs of an arm.

    `key` has what the rows of all variants share; the first of `variants` is the base.
    `strata` has an array (runs, V, items) for each benchmark.
    """

    key: dict
    variants: list[str]
    strata: list[np.ndarray]

    def sample(self, seed: int, draws: int) -> Sample:
        """Resampled mean scores; no cell depends on which others exist."""
        return bootstrap(self.strata, np.random.default_rng(seed), draws)


def cells(items: pd.DataFrame) -> Iterator[Cell]:
    """The base, every run, and all runs of an arm at each step: all their cells."""
    base = items[items["variant"] == BASE].assign(run=BASE)
    trained = items[items["variant"] != BASE]
    yield from _cells(base, trained.iloc[:0], [BASE], (BASE, BASE, 0))
    for arm, of_arm in trained.groupby(trained["run"].map(arm_of)):
        whole = of_arm["run"].nunique()
        for step, at_step in of_arm.groupby("step"):
            for label, runs in groups_of_runs(at_step["run"].unique()):
                if label != ALL_RUNS or len(runs) == whole:
                    yield from _cells(base, at_step, runs, (arm, label, int(step)))


def _cells(
    base: pd.DataFrame,
    trained: pd.DataFrame,
    runs: list[str],
    group: tuple[str, str, int],
) -> Iterator[Cell]:
    """The cells of a group of runs; `group` is its arm, label and step."""
    trained = trained[trained["run"].isin(runs)]
    variants = shared_values(trained, runs, "variant")
    benchmarks = shared_values(trained if variants else base, runs, "benchmark")
    both, keys = pd.concat([base, trained]), with_base(runs, [BASE, *variants])
    for unit in _units(base, benchmarks):
        strata = [
            paired_cube(
                both[both["benchmark"] == name],
                keys,
                columns=["run", "variant"],
                item="item",
                value="score",
            )
            for name in unit["benchmarks"]
        ]
        key = dict(zip(("arm", "run", "step"), group, strict=True)) | {
            "benchmark": unit["name"],
            "domain": unit["domain"],
            "n": sum(stratum.shape[2] for stratum in strata),
            "runs": len(runs),
        }
        yield Cell(key, [BASE, *variants], strata)


def _units(base: pd.DataFrame, benchmarks: list[str]) -> list[dict]:
    """Each benchmark alone, and each domain all of whose benchmarks are there."""
    units = []
    for domain, rows in base.groupby("domain"):
        names = sorted(rows["benchmark"].unique())
        present = [name for name in names if name in benchmarks]
        units += [{"name": n, "domain": domain, "benchmarks": [n]} for n in present]
        pooled = [name for name in names if name not in OUTSIDE_MEAN]
        if pooled and set(pooled) <= set(present):
            units.append({"name": MEAN, "domain": domain, "benchmarks": pooled})
    return units


def _add_variant_rows(
    rows: dict[str, list[dict]],
    cell: dict,
    sample: Sample,
    variants: list[str],
) -> None:
    """Append one row per variant of a cell; the base's own rows come once, as a run."""
    keep_base = cell["run"] == BASE
    single = cell["run"] != ALL_RUNS and cell["benchmark"] != MEAN
    full = variants.index(FULL) if FULL in variants else None
    for index, variant in enumerate(variants):
        if variant == BASE and not keep_base:
            continue
        row = {**cell, "variant": variant}
        value = float(sample.observed[index])
        mean = wilson(value, cell["n"]) if single else bootstrap_mean(sample, index)
        rows["scores"].append(row | mean.columns("score"))
        if variant == BASE:
            continue
        difference = paired_difference(sample, index)
        rows["differences"].append(row | difference.columns("difference"))
        if cell["domain"] == GAIN_DOMAIN and full is not None and variant != FULL:
            rows["recovery"].append(row | _recovery_columns(sample, index, full))


def _recovery_columns(sample: Sample, variant: int, full: int) -> dict:
    result = recovery(sample, variant, full)
    gain = result.gain.columns("gain", "gain_")
    return gain | result.estimate.columns("recovery") | {"status": result.status}


def spectra_table(spectra: pd.DataFrame, matrices: pd.DataFrame) -> pd.DataFrame:
    """Singular values with the norm and shape of their update (for scale and null)."""
    keys = ["run", "step", "update", "view", "tensor"]
    extra = [*keys, "rows", "columns", "frobenius_norm"]
    table = spectra.merge(matrices[extra], on=keys, how="left", validate="m:1")
    orphans = table.loc[table["rows"].isna(), "tensor"]
    if len(orphans):
        raise UserError(
            f"The spectra hold the tensor {orphans.iloc[0]}, which the matrices' table "
            "does not; run the decomposition again."
        )
    return table
