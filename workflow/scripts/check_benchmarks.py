"""Load the benchmarks of lm-eval from their downloaded data, before any GPU is used."""

import logging
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from rankone.evaluation.hf_backend import load_tasks
from rankone.evaluation.settings import Benchmark
from rankone.runtime.job import job
from rankone.tables_io import write_table

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

logger = logging.getLogger(__name__)


def main(
    benchmarks: dict[str, Benchmark], folders: list[str], data: str | Path, output: str
) -> None:
    """Write a table of the tasks: their data, items, few-shot examples and metrics."""
    rows = [
        {
            "benchmark": name,
            "task": task,
            "hub": benchmarks[name].hub,
            "revision": benchmarks[name].revision,
            "items": len(loaded.eval_docs),
            "shots": loaded.get_config("num_fewshot"),
            "metrics": ",".join(loaded.aggregation()),
        }
        for name, tasks in load_tasks(benchmarks, folders, data).items()
        for task, loaded in tasks.items()
    ]
    write_table(pd.DataFrame(rows), output)
    logger.info("%d tasks of %d benchmarks", len(rows), len(benchmarks))


if __name__ == "__main__":
    with job(snakemake):
        main(
            {
                name: Benchmark.model_validate(given)
                for name, given in snakemake.params.benchmarks.items()
            },
            *(snakemake.params.folders, snakemake.params.data, snakemake.output[0]),
        )
