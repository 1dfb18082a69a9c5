"""Benchmark the variants of one exported step, all within one loaded model."""

import logging
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from rankone.evaluation import hf_backend, vllm_backend
from rankone.evaluation.settings import EvaluationSettings
from rankone.runtime.device import dtype, own_gpus, set_up
from rankone.runtime.job import job, time_left
from rankone.tables_io import write_table
from rankone.variants.in_place import chosen, open_step_weights
from rankone.weights.model_files import weight_files

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

logger = logging.getLogger(__name__)

BACKENDS = {"hf": hf_backend.open_model, "vllm": vllm_backend.open_engine}


def main(
    run: str,
    step: int,
    names: list[str],
    model_folder: str,
    data: str | Path,
    checkpoint: str | None,
    factors: str | None,
    settings: EvaluationSettings,
    output: str,
) -> None:
    """Write one row per item and variant; the variant `base` is the model as it is."""
    options, benchmarks = settings.evaluate, settings.benchmarks
    loaded = hf_backend.load_tasks(benchmarks, options.task_folders, data)
    weights = open_step_weights(weight_files(model_folder), checkpoint, factors)
    recipes = chosen(names, weights.base)
    lm, applied = BACKENDS[options.backend](
        model_folder, settings, weights, list(recipes.values())
    )
    precision = str(dtype(options.dtype)).removeprefix("torch.")
    place = {"run": run, "step": step, "precision": precision}
    tables, begun = [], time.monotonic()
    for done, (name, recipe) in enumerate(recipes.items(), start=1):
        with applied(recipe):
            scores = hf_backend.run_benchmarks(lm, benchmarks, loaded)
        tables.append(scores.assign(**place, variant=name))
        means = scores.groupby("benchmark", sort=False)["score"].mean()
        logger.info(
            "%s step %d %s: %s; %s left",
            *(run, step, name),
            ", ".join(f"{key} {value:.3f}" for key, value in means.items()),
            time_left(begun, done, len(names)),
        )
    write_table(pd.concat(tables), output)


if __name__ == "__main__":
    with job(snakemake), own_gpus(snakemake.resources.get("gpu", 1)):
        set_up(snakemake.threads, keep_memory=True)
        main(
            snakemake.wildcards.run,
            int(snakemake.wildcards.step),
            *(snakemake.params.variants, snakemake.input.model),
            Path(snakemake.input.data[0]).parents[1],
            snakemake.input.get("checkpoint"),
            snakemake.input.get("factors"),
            EvaluationSettings.model_validate(snakemake.params.settings),
            snakemake.output[0],
        )
