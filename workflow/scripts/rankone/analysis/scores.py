"""Stage files in, tidy tables out: training, scores, differences, recovery, spectra.

Items are paired by (benchmark, item) across the base, all variants and all runs; files
whose items do not pair are refused.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from rankone.errors import UserError
from rankone.names import ALL_RUNS, BASE, FULL, GAIN_DOMAIN, MEAN, TRAIN_PROBE, arm_of
from rankone.statistics.intervals import (
    DRAWS,
    Estimate,
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
    _check_items(base, "The base's evaluation files together")
    expected = {name: set(rows["item"]) for name, rows in base.groupby("benchmark")}
    for path, table in tables.items():
        _check_paired(table, expected, path)
    items = pd.concat([table[ITEM_COLUMNS] for table in tables.values()])
    return items.sort_values(ITEM_KEY, ignore_index=True)


def _check_items(table: pd.DataFrame, path: str) -> None:
    repeated = table[table.duplicated(ITEM_KEY)]
    if len(repeated):
        first = repeated.iloc[0]
        raise UserError(
            f"{path}: {len(repeated)} item ids occur twice, first `{first['item']}` of "
            f"{first['benchmark']} ({first['variant']}); expected each once."
        )
    wrong = table[~table["score"].between(0, 1)]
    if len(wrong):
        first = wrong.iloc[0]
        raise UserError(
            f"{path}: item `{first['item']}` of {first['benchmark']} has the score "
            f"{first['score']}; expected a number from 0 to 1."
        )


def _check_paired(table: pd.DataFrame, expected: dict[str, set], path: str) -> None:
    for (variant, benchmark), rows in table.groupby(["variant", "benchmark"]):
        if benchmark not in expected:
            raise UserError(f"{path}: the base was not evaluated on {benchmark}.")
        unpaired = expected[benchmark] ^ set(rows["item"])
        if unpaired:
            raise UserError(
                f"{path}: the items of {benchmark} ({variant}) are not the base's: "
                f"{len(unpaired)} have no partner, first `{min(unpaired, key=str)}`; "
                "evaluate both again on the same problem files."
            )


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
        for label, step, runs, chosen in _groups(of_arm):
            yield from _cells(base, chosen, runs, (arm, label, step))


def _groups(
    trained: pd.DataFrame,
) -> Iterator[tuple[str, int, list[str], pd.DataFrame]]:
    """Label, step, runs and rows of every run of an arm, and of all together."""
    for step, at_step in trained.groupby("step"):
        runs = sorted(at_step["run"].unique())
        for run in runs:
            yield run, int(step), [run], at_step[at_step["run"] == run]
        if len(runs) == trained["run"].nunique():
            yield ALL_RUNS, int(step), runs, at_step


def _cells(
    base: pd.DataFrame,
    trained: pd.DataFrame,
    runs: list[str],
    place: tuple[str, str, int],
) -> Iterator[Cell]:
    """The cells of a group of runs; `place` is its arm, label and step."""
    variants = _shared(trained, runs, "variant")
    benchmarks = _shared(trained if variants else base, runs, "benchmark")
    for unit in _units(base, benchmarks):
        strata = [
            _cube(base, trained, runs, variants, name) for name in unit["benchmarks"]
        ]
        key = dict(zip(("arm", "run", "step"), place, strict=True)) | {
            "benchmark": unit["name"],
            "domain": unit["domain"],
            "n": sum(stratum.shape[2] for stratum in strata),
            "runs": len(runs),
        }
        yield Cell(key, [BASE, *variants], strata)


def _shared(table: pd.DataFrame, group: Sequence[str], column: str) -> list[str]:
    """Values of `column` that every run of the group has, sorted."""
    sets = [set(table.loc[table["run"] == run, column]) for run in group]
    return sorted(set.intersection(*sets))


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


def _cube(
    base: pd.DataFrame,
    trained: pd.DataFrame,
    runs: Sequence[str],
    variants: Sequence[str],
    benchmark: str,
) -> np.ndarray:
    """Scores (runs, 1 + variants, items) of one benchmark, the base first."""
    reference = base.loc[base["benchmark"] == benchmark, "score"].to_numpy(np.float64)
    cube = np.empty((len(runs), 1 + len(variants), len(reference)))
    cube[:, 0] = reference
    rows = trained[trained["benchmark"] == benchmark]
    # Rows are sorted by item and checked to have the base's items.
    for (run, variant), scores in rows.groupby(["run", "variant"])["score"]:
        if variant in variants:
            cube[runs.index(run), 1 + variants.index(variant)] = scores
    return cube


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
        rows["scores"].append({**row, **_columns("score", mean)})
        if variant == BASE:
            continue
        difference = paired_difference(sample, index)
        rows["differences"].append({**row, **_columns("difference", difference)})
        if cell["domain"] == GAIN_DOMAIN and full is not None and variant != FULL:
            rows["recovery"].append({**row, **_recovery_columns(sample, index, full)})


def _columns(name: str, estimate: Estimate) -> dict[str, float]:
    return {name: estimate.value, "low": estimate.low, "high": estimate.high}


def _recovery_columns(sample: Sample, variant: int, full: int) -> dict:
    result = recovery(sample, variant, full)
    return {
        "gain": result.gain.value,
        "gain_low": result.gain.low,
        "gain_high": result.gain.high,
        **_columns("recovery", result.estimate),
        "status": result.status,
    }


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
