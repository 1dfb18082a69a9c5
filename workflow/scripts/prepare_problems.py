"""Make the problem sets of a study from their source."""

import logging
from typing import TYPE_CHECKING

from rankone.data.settings import Problems
from rankone.data.source import problem_sets, read_problems
from rankone.files import write_jsonl
from rankone.runtime.job import job

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

logger = logging.getLogger(__name__)


def main(problems: Problems, inputs: dict[str, str], outputs: dict[str, str]) -> None:
    """Write each split of a study's problems to its file.

    `inputs` are the files or folders that their source asks for, by its names.
    """
    splits = problem_sets(problems, inputs)
    for name, path in outputs.items():
        write_jsonl(path, splits[name])
        logger.info("%s: %d problems", name, len(splits[name]))


if __name__ == "__main__":
    with job(snakemake):
        main(
            read_problems(snakemake.params.problems),
            dict(snakemake.input.items()),
            dict(snakemake.output.items()),
        )
