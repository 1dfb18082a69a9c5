"""Benchmark the variants of one exported step, all within one loaded model."""

import logging
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
from transformers import AutoTokenizer

from rankone import evaluation
from rankone.checkpoints import weight_files
from rankone.compute import device, dtype, set_up
from rankone.files import replacing
from rankone.jobs import job, time_left
from rankone.models import load_model
from rankone.substitution import chosen, sources, substituted

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

logger = logging.getLogger(__name__)


def main(
    run: str,
    step: int,
    names: list[str],
    model_folder: str,
    data: str | Path,
    checkpoint: str | None,
    factors: str | None,
    settings: dict,
    output: str,
) -> None:
    """Write one row per item and variant; the variant `base` is the model as it is.

    `settings` has `benchmarks`, `evaluate`, `others`, `seed` and `trust_remote_code`.
    """
    options, trust = settings["evaluate"], settings["trust_remote_code"]
    benchmarks = settings["benchmarks"]
    loaded = evaluation.load_tasks(list(benchmarks), options["task_folders"], data)
    precision = dtype(options["dtype"])
    model = load_model(model_folder, precision, trust)
    model.to(device())
    tokenizer = AutoTokenizer.from_pretrained(model_folder, trust_remote_code=trust)
    lm = evaluation.wrap(model, tokenizer, options["batch_size"])
    place = {"run": run, "step": step, "precision": str(precision).split(".")[1]}
    tables, begun = [], time.monotonic()
    files = sources(weight_files(model_folder), checkpoint, factors)
    others, seed = settings["others"], settings["seed"]
    recipes = chosen(names, files[0])
    for done, (name, recipe) in enumerate(recipes.items(), start=1):
        with substituted(model, recipe, files, others, seed):
            scores = evaluation.run_benchmarks(lm, benchmarks, loaded)
        tables.append(scores.assign(**place, variant=name))
        means = scores.groupby("benchmark", sort=False)["score"].mean()
        logger.info(
            "%s step %d %s: %s; %s left",
            *(run, step, name),
            ", ".join(f"{key} {value:.3f}" for key, value in means.items()),
            time_left(begun, done, len(names)),
        )
    with replacing(output) as temporary:
        pd.concat(tables).to_parquet(temporary, index=False)


if __name__ == "__main__":
    with job(snakemake.log[0]):
        set_up(snakemake.threads, keep_memory=True)
        main(
            snakemake.wildcards.run,
            int(snakemake.wildcards.step),
            *(snakemake.params.variants, snakemake.input.model),
            Path(snakemake.input.data[0]).parents[1],
            snakemake.input.get("checkpoint"),
            snakemake.input.get("factors"),
            *(snakemake.params.settings, snakemake.output[0]),
        )
