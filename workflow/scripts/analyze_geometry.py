"""Tables of spectra and of the place of changes, every statistic beside its null."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import pandas as pd

from rankone.geometry.tables import (
    anatomy_table,
    beside_base,
    beside_nulls,
    tails_table,
)
from rankone.runtime.job import job
from rankone.tables_io import concatenate, write_tables

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

KEYS = ["run", "step", "tensor"]


def main(
    inputs: Mapping[str, Sequence[str]],
    outputs: Mapping[str, str],
    arms: Sequence[str],
    seed: int,
    draws: int,
) -> None:
    """Write the tables that `outputs` names, from the files of all runs."""
    values, nulls = (concatenate(inputs[name], KEYS) for name in ("values", "draws"))
    both = beside_nulls(values, nulls), beside_base(values)
    matrices = pd.concat(both, ignore_index=True)
    anatomy = concatenate(inputs["anatomy"], KEYS)
    overlap = concatenate([inputs["overlap"]], ["run", "other"])
    tables = {
        "matrices": matrices,
        "tails": tails_table(matrices, seed, draws),
        "fits": values,
        "anatomy": anatomy_table(anatomy, seed, draws),
        "overlap": anatomy_table(
            overlap.assign(step=anatomy["step"].max()), seed, draws
        ),
        "paths": concatenate(inputs["paths"], KEYS),
        "curves": concatenate(inputs["curves"], KEYS),
    }
    write_tables(tables, outputs, arms)


if __name__ == "__main__":
    with job(snakemake):
        main(
            dict(snakemake.input.items()),
            dict(snakemake.output.items()),
            snakemake.params.arms,
            snakemake.params.seed,
            snakemake.params.draws,
        )
