"""Whether two runs of an arm changed the same entries."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rankone.geometry.update_location import overlaps
from rankone.runtime.device import set_up
from rankone.runtime.job import job
from rankone.tables_io import write_table
from rankone.weights.checkpoints import index
from rankone.weights.model_files import weight_files

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake


def main(
    runs: Sequence[str], model_folder: str, checkpoints: Sequence[str], output: str
) -> None:
    """Write one row a pair of runs, matrix and view; none for a single run."""
    trained = {
        run: index([Path(checkpoint)])
        for run, checkpoint in zip(runs, checkpoints, strict=True)
    }
    write_table(overlaps(index(weight_files(model_folder)), trained), output)


if __name__ == "__main__":
    with job(snakemake):
        set_up(snakemake.threads, keep_memory=True)
        main(
            snakemake.params.runs,
            snakemake.input.model,
            snakemake.input.checkpoints,
            snakemake.output[0],
        )
