"""Make the tables of sampled answers: pass@k with its null, perplexity, KL."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rankone.analysis.likelihood import (
    ANSWER_COLUMNS,
    KL_COLUMNS,
    count_table,
    kl_table,
    null_table,
    perplexity_table,
)
from rankone.analysis.pass_at_k import (
    efficiency_table,
    pass_table,
    powers,
    solvable_sets,
)
from rankone.runtime.job import job
from rankone.statistics.intervals import DRAWS
from rankone.tables_io import concatenate, write_tables

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake


def main(
    answers: Sequence[str | Path],
    kl: Sequence[str | Path],
    outputs: Mapping[str, str | Path],
    arms: Sequence[str],
    seed: int,
    draws: int = DRAWS,
) -> None:
    """Write every table that `outputs` names; `arms` gives their order."""
    counts = count_table(
        concatenate(answers, ANSWER_COLUMNS), concatenate(kl, KL_COLUMNS)
    )
    ks = powers(counts)
    tables = {
        "pass_at_k": pass_table(counts, ks, seed, draws),
        "pass_null": null_table(counts, ks, seed),
        "efficiency": efficiency_table(counts, ks, seed, draws),
        "solvable": solvable_sets(counts),
        "perplexity": perplexity_table(counts, seed, draws),
        "kl": kl_table(counts, seed, draws),
    }
    write_tables(tables, outputs, arms)


if __name__ == "__main__":
    with job(snakemake):
        main(
            snakemake.input.answers,
            snakemake.input.kl,
            dict(snakemake.output.items()),
            snakemake.params.arms,
            snakemake.params.seed,
            snakemake.params.draws,
        )
