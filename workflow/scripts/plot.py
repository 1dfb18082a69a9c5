"""Draw one figure from one table."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rankone.figures import draw, save
from rankone.jobs import job
from rankone.tables import read_table

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake


def main(
    figure: str, table_path: str | Path, outputs: str | Path | Sequence[str | Path]
) -> None:
    """Write the figure of that name to `outputs`, each by its suffix."""
    paths = [outputs] if isinstance(outputs, str | Path) else outputs
    save(draw(figure, read_table(table_path)), paths)


if __name__ == "__main__":
    with job(snakemake.log[0]):
        main(snakemake.params.figure, snakemake.input.table, list(snakemake.output))
