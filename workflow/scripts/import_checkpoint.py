"""Make one imported checkpoint a float32 file in the names of the base's parameters."""

import logging
from pathlib import Path
from typing import TYPE_CHECKING

from rankone.runtime.device import set_up
from rankone.runtime.job import job
from rankone.weights import import_plan
from rankone.weights.checkpoints import index, weights_hash
from rankone.weights.import_checkpoint import convert
from rankone.weights.model_files import read_json, weight_files
from rankone.weights.settings import Model

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

logger = logging.getLogger(__name__)


def main(
    run: str,
    step: int,
    source: str,
    folder: str,
    model_folder: str,
    model: Model,
    output: str,
) -> None:
    """Convert the weights in `folder`, or refuse them.

    `source` is what the config names; `model_folder` has the base `model`.
    """
    plan = import_plan.fit(Path(folder), Path(model_folder), model)
    origin = {"run": run, "step": step, "base": weights_hash(model_folder)}
    origin |= {"source": source}
    origin |= read_json(Path(folder) / import_plan.RECORD)
    convert(plan, index(weight_files(model_folder)), output, origin)
    kind = "LoRA factors" if plan.adapter else "tensors"
    logger.info("%s step %d: %d %s of %s", run, step, len(plan.names), kind, source)


if __name__ == "__main__":
    with job(snakemake):
        set_up(snakemake.threads)
        main(
            *(snakemake.wildcards.run, int(snakemake.wildcards.step)),
            *(snakemake.params.source, snakemake.params.folder),
            snakemake.input.model,
            Model.model_validate(snakemake.params.settings),
            snakemake.output[0],
        )
