"""Draw one figure from its tables."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rankone.figures import draw
from rankone.jobs import job
from rankone.plotting import save
from rankone.tables import read_table

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake


def main(
    figure: str, tables: Sequence[str | Path], outputs: Sequence[str | Path]
) -> None:
    """Write the figure of that name to `outputs`, each by its suffix."""
    save(draw(figure, *map(read_table, tables)), outputs)


if __name__ == "__main__":
    with job(snakemake.log[0]):
        main(snakemake.params.figure, snakemake.input.tables, list(snakemake.output))
