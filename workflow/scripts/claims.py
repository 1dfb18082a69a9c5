"""The table of claims: what this study says of each, against its null."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rankone.analysis.scores import read_items
from rankone.claims import registry
from rankone.files import sha256
from rankone.runtime.job import job
from rankone.statistics import decision_rules
from rankone.tables_io import read_table, write_table

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake


def main(
    tables: Mapping[str, str | Path],
    evaluations: Sequence[str | Path],
    calibration: str | Path,
    arm: str,
    seed: int,
    draws: int,
    output: str | Path,
) -> None:
    """Write one row a claim; `arm` is the first one, which claims are about.

    `tables` are paths by name; claims whose table is not there are left out.
    """
    found = {name: read_table(path) for name, path in tables.items()}
    of_arm = {
        name: table if name == "overfitting" else table[table["arm"] == arm]
        for name, table in found.items()
    }
    items = read_items(evaluations)
    of_arm["last_scores"] = registry.last_scores(items, arm, seed, draws)
    rules = sha256(decision_rules.__file__)
    table = registry.claims_table(of_arm, read_table(calibration), rules)
    write_table(table, output)


if __name__ == "__main__":
    with job(snakemake):
        main(
            {name: snakemake.input[name] for name in snakemake.params.tables},
            *(snakemake.input.evaluations, snakemake.input.calibration),
            *(snakemake.params.arm, snakemake.params.seed, snakemake.params.draws),
            snakemake.output[0],
        )
