"""Make the tables of knowledge: what is retained, and forgetting against the KL."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rankone.analysis.forgetting import forgetting_tables
from rankone.analysis.retention import retention_table
from rankone.analysis.scores import read_items
from rankone.runtime.job import job
from rankone.statistics.intervals import DRAWS
from rankone.tables_io import read_table, write_tables

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake


def main(
    evaluations: Sequence[str | Path],
    kl: str | Path,
    outputs: Mapping[str, str | Path],
    arms: Mapping[str, str | None],
    margin: float,
    seed: int,
    draws: int = DRAWS,
) -> None:
    """Write every table that `outputs` names.

    `evaluations` are of the base and of one step of each run. `arms` gives the recipe
    of each arm's intervention, None for one without; scores that differ by less than
    `margin` count as kept.
    """
    items = read_items(evaluations)
    tables = forgetting_tables(items, read_table(kl), arms, seed, draws)
    tables["retention"] = retention_table(items, arms, margin, seed, draws)
    write_tables(tables, outputs, list(arms))


if __name__ == "__main__":
    with job(snakemake):
        main(
            snakemake.input.evaluations,
            snakemake.input.kl,
            dict(snakemake.output.items()),
            snakemake.params.arms,
            snakemake.params.margin,
            snakemake.params.seed,
            snakemake.params.draws,
        )
