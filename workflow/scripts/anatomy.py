"""Where one step's updates lie: sparsity, masks, stripes, the base's spectrum."""

from pathlib import Path
from typing import TYPE_CHECKING

from rankone.geometry.update_location import examine
from rankone.runtime.device import set_up
from rankone.runtime.job import job
from rankone.tables_io import write_table
from rankone.weights.checkpoints import check_match, index
from rankone.weights.model_files import weight_files

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake


def main(
    run: str, step: int, model_folder: str, checkpoint: str, rank: int, output: str
) -> None:
    """Write one row a matrix and view; `rank` is that of the base's subspaces."""
    base, trained = index(weight_files(model_folder)), index([Path(checkpoint)])
    check_match(base, trained, checkpoint)
    table = examine(base, trained, rank, f"{run} step {step}")
    write_table(table.assign(run=run, step=step), output)


if __name__ == "__main__":
    with job(snakemake):
        set_up(snakemake.threads, keep_memory=True)
        main(
            snakemake.wildcards.run,
            int(snakemake.wildcards.step),
            *(snakemake.input.model, snakemake.input.checkpoint),
            snakemake.params.rank,
            snakemake.output[0],
        )
