"""Make the problem sets: arithmetic, or from datasets."""

import logging
from typing import TYPE_CHECKING

from rankone.data.sources import arithmetic, dataset
from rankone.files import write_jsonl
from rankone.runtime.job import job

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

logger = logging.getLogger(__name__)


def main(settings: dict, sources: dict[str, str], outputs: dict[str, str]) -> None:
    """Write each split of the config's `problems:` to its file.

    `sources` are folders or files by the names in `problems.datasets`.
    """
    if sources:
        rows = {
            name: dataset.read_rows(source, settings["datasets"][name])
            for name, source in sources.items()
        }
        splits = dataset.make_splits(settings, rows)
    else:
        splits = arithmetic.make_splits(settings)
    for name, path in outputs.items():
        write_jsonl(path, splits[name])
        logger.info("%s: %d problems", name, len(splits[name]))


if __name__ == "__main__":
    with job(snakemake):
        main(
            snakemake.params.problems,
            dict(snakemake.input.items()),
            dict(snakemake.output.items()),
        )
