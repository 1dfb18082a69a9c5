"""The table of claims: what this study says of each, against its null."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rankone.analysis.scores import read_items
from rankone.claims.claim import needed_tables
from rankone.claims.study_tables import StudyTables, last_scores
from rankone.claims.table import claims_table
from rankone.runtime.job import job
from rankone.tables_io import read_table, write_table

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake


def main(
    tables: Mapping[str, str | Path],
    known: Sequence[str],
    evaluations: Sequence[str | Path],
    calibration: str | Path,
    provenance: str | Path,
    arm: str,
    seed: int,
    draws: int,
    output: str | Path,
) -> None:
    """Write one row a claim; `arm` is the first one, which claims are about.

    `tables` are paths by name; claims whose table is not there are left out. `known`
    are the names of the tables of any study.
    """
    needed = [name for name in needed_tables(known) if name in tables]
    study = StudyTables(
        {name: read_table(tables[name]) for name in needed},
        last_scores(read_items(evaluations), arm, seed, draws),
        other_code(json.loads(Path(provenance).read_text())),
    )
    write_table(claims_table(study, arm, read_table(calibration)), output)


def other_code(provenance: Mapping) -> dict[str, str]:
    """How the runs were made that the code that is there now did not make."""
    runs = provenance["runs"].items()
    return {name: run["status"] for name, run in runs if run["status"]}


if __name__ == "__main__":
    with job(snakemake):
        main(
            tables={name: snakemake.input[name] for name in snakemake.params.tables},
            known=snakemake.params.known,
            evaluations=snakemake.input.evaluations,
            calibration=snakemake.input.calibration,
            provenance=snakemake.input.provenance,
            arm=snakemake.params.arm,
            seed=snakemake.params.seed,
            draws=snakemake.params.draws,
            output=snakemake.output[0],
        )
