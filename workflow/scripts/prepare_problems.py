"""Make the arithmetic problem sets."""

import logging
from typing import TYPE_CHECKING

from rankone.files import write_jsonl
from rankone.jobs import job
from rankone.problems import make_splits

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

logger = logging.getLogger(__name__)


def main(settings: dict, outputs: dict[str, str]) -> None:
    """Write each split of the config's `problems:` to its file."""
    splits = make_splits(settings)
    for name, path in outputs.items():
        write_jsonl(path, splits[name])
        logger.info("%s: %d problems", name, len(splits[name]))


if __name__ == "__main__":
    with job(snakemake.log[0]):
        main(snakemake.params.problems, dict(snakemake.output.items()))
