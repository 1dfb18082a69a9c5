"""Draw one figure from its tables."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rankone.report.figure import draw
from rankone.report.style import save
from rankone.runtime.job import job
from rankone.tables_io import read_table

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake


def main(
    figure: str, tables: Sequence[str | Path], outputs: Sequence[str | Path]
) -> None:
    """Write the figure of that name to `outputs`, each by its suffix."""
    save(draw(figure, *map(read_table, tables)), outputs)


if __name__ == "__main__":
    with job(snakemake):
        main(snakemake.params.figure, snakemake.input.tables, list(snakemake.output))
