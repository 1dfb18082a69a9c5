"""Make the multiple-choice benchmarks from the package files that contain them."""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from rankone.data.benchmark import BENCHMARKS
from rankone.data.multiple_choice import build_benchmark, read_members
from rankone.data.package_files import require_package
from rankone.files import write_jsonl
from rankone.runtime.job import job

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

logger = logging.getLogger(__name__)


def main(
    archives: Mapping[str, str | Path],
    outputs: Mapping[str, str | Path],
    limits: Mapping[str, int],
    seed: int,
) -> None:
    """Write each benchmark named in `outputs`, capped at its limit if it has one.

    `archives` maps the name of a package to its file; each is read once.
    """
    wanted = [BENCHMARKS[name] for name in outputs]
    for package in {benchmark.package for benchmark in wanted}:
        archive = archives[package.name]
        require_package(archive, package)
        ours = [benchmark for benchmark in wanted if benchmark.package == package]
        names = [name for benchmark in ours for name in benchmark.members]
        members = read_members(archive, names)
        for benchmark in ours:
            limit = limits.get(benchmark.name)
            rows = build_benchmark(benchmark, members, seed, limit)
            write_jsonl(outputs[benchmark.name], rows)
            logger.info("%s: %d items", benchmark.name, len(rows))


if __name__ == "__main__":
    with job(snakemake.log[0]):
        main(
            dict(snakemake.input.items()),
            dict(snakemake.output.items()),
            snakemake.params.limits,
            snakemake.params.seed,
        )
