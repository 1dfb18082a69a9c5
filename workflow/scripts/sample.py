"""Many answers of the variants of one exported step, and their KL from the base."""

import logging
import time
from typing import TYPE_CHECKING

import pandas as pd
from transformers import AutoTokenizer

from rankone.files import read_jsonl
from rankone.inference import sampled_answers
from rankone.inference.settings import SampleSettings
from rankone.runtime.device import own_gpus, set_up
from rankone.runtime.job import job, time_left
from rankone.tables_io import write_table
from rankone.variants.in_place import chosen, open_step_weights, substituted
from rankone.weights.base_model import load_model
from rankone.weights.model_files import weight_files

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

logger = logging.getLogger(__name__)


def main(
    run: str,
    step: int,
    names: list[str],
    model_folder: str,
    problems: str,
    checkpoint: str | None,
    factors: str | None,
    settings: SampleSettings,
    outputs: dict[str, str],
) -> None:
    """Write `answers`, one row a sample, and `kl`, one row per answer of the base.

    The variant `base` is the model as it is.
    """
    trust, seed = settings.trust_remote_code, settings.seed
    tokenizer = AutoTokenizer.from_pretrained(model_folder, trust_remote_code=trust)
    models = [load_model(model_folder, trust=trust) for _ in ("base", "variant")]
    rows = read_jsonl(problems)[: settings.problems]
    for model in models:
        sampled_answers.prepare(model, tokenizer, rows[0]["stop"])
    reference = sampled_answers.of_base(models[0], tokenizer, rows, settings, seed)
    tables, begun = {name: [] for name in outputs}, time.monotonic()
    weights = open_step_weights(weight_files(model_folder), checkpoint, factors)
    for done, (name, recipe) in enumerate(chosen(names, weights.base).items(), start=1):
        with substituted(models[1], recipe, weights, settings.others, seed):
            found = sampled_answers.measure(
                *(models, tokenizer, rows, reference, settings),
                (seed, f"{run}:{name}"),
            )
        for output, table in found.items():
            tables[output].append(table.assign(run=run, step=step, variant=name))
        logger.info(
            "%s step %d %s: %.3f correct, KL %.4f; %s left",
            *(run, step, name),
            *(found["answers"]["correct"].mean(), found["kl"]["kl"].mean()),
            time_left(begun, done, len(names)),
        )
    for output, parts in tables.items():
        write_table(pd.concat(parts), outputs[output])


if __name__ == "__main__":
    with job(snakemake), own_gpus(snakemake.resources.get("gpu", 1)):
        set_up(snakemake.threads, keep_memory=True)
        main(
            snakemake.wildcards.run,
            int(snakemake.wildcards.step),
            *(snakemake.params.variants, snakemake.input.model),
            snakemake.input.problems,
            snakemake.input.get("checkpoint"),
            snakemake.input.get("factors"),
            SampleSettings.model_validate(snakemake.params.settings),
            dict(snakemake.output.items()),
        )
