"""Make the study's tidy tables from its metrics, decompositions and item scores."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rankone.analysis.reward_overfitting import (
    overfitting_table,
    probe_table,
    substitution_table,
)
from rankone.analysis.scores import (
    METRIC_KEYS,
    read_items,
    score_tables,
    spectra_table,
    training_table,
)
from rankone.runtime.job import job
from rankone.statistics.intervals import DRAWS
from rankone.tables_io import concatenate, write_tables

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

PROBE_KEYS = ["run", "step", "moment", "split", "problem", "sampling", "correct"]
MATRIX_KEYS = ["run", "step", "update", "view", "layer", "module", "tensor"]


def main(
    metrics: Sequence[str | Path],
    matrices: Sequence[str | Path],
    spectra: Sequence[str | Path],
    evaluations: Sequence[str | Path],
    probes: Sequence[str | Path],
    updates: Sequence[str | Path],
    outputs: Mapping[str, str | Path],
    arms: Mapping[str, str | None],
    seed: int,
    draws: int = DRAWS,
) -> None:
    """Write every table that `outputs` names.

    `arms` gives the recipe of each arm's intervention, None for one without. `metrics`,
    `probes` and `updates` are of the runs that were trained here; there may be none.
    """
    tables = score_tables(read_items(evaluations), seed, draws)
    tables["matrices"] = concatenate(matrices, [*MATRIX_KEYS, "norm_share"])
    tables["spectra"] = spectra_table(
        concatenate(spectra, [*MATRIX_KEYS, "index", "sigma"]), tables["matrices"]
    )
    if metrics:
        steps, answers = (
            concatenate(metrics, METRIC_KEYS),
            concatenate(probes, PROBE_KEYS),
        )
        tables["training"] = training_table(steps, tables["scores"])
        tables["probes"] = probe_table(answers, seed, draws)
        tables["overfitting"] = overfitting_table(answers, arms, seed, draws)
        tables["substitutions"] = substitution_table(
            concatenate(updates, ["run", "step", "moment", "frobenius_norm"]), steps
        )
    write_tables(tables, outputs, list(arms))


if __name__ == "__main__":
    with job(snakemake):
        main(
            snakemake.input.metrics,
            snakemake.input.matrices,
            snakemake.input.spectra,
            snakemake.input.evaluations,
            snakemake.input.probes,
            snakemake.input.updates,
            dict(snakemake.output.items()),
            snakemake.params.arms,
            snakemake.params.seed,
            snakemake.params.draws,
        )
