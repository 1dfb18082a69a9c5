"""Write the report page and the headline for the terminal."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rankone.files import replacing
from rankone.report.page import read_provenance, render
from rankone.report.sentences import headline
from rankone.runtime.job import job
from rankone.tables_io import read_table

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake


def main(
    tables_dir: str | Path,
    claims: str | Path,
    figures: Sequence[str | Path],
    provenance: str | Path,
    text_dir: str | Path,
    runs: tuple[Sequence[str], Sequence[str]],
    page: str | Path,
    headline_path: str | Path,
) -> None:
    """Write `page` (HTML) and `headline_path` (plain text).

    `figures` are SVG files in the order of the page; `text_dir` holds the template and
    the overview; `runs` are those trained here and those imported.
    """
    origin = read_provenance(provenance)
    texts = {
        page: render(tables_dir, read_table(claims), figures, origin, text_dir, runs),
        headline_path: headline(tables_dir, runs),
    }
    for path, text in texts.items():
        with replacing(path) as temporary:
            temporary.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    with job(snakemake):
        main(
            Path(snakemake.input.scores).parent,
            snakemake.input.claims,
            snakemake.input.figures,
            snakemake.input.provenance,
            Path(snakemake.input.template).parent,
            snakemake.params.runs,
            snakemake.output.page,
            snakemake.output.headline,
        )
