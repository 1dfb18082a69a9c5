"""Decompose the updates of one exported step: factors, statistics, singular values."""

from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
import safetensors
import torch

from rankone import artefacts
from rankone.runtime.device import device, own_gpus, set_up
from rankone.runtime.job import job
from rankone.tables_io import write_table
from rankone.weights import updates
from rankone.weights.checkpoints import check_match, index
from rankone.weights.factors import save_factors
from rankone.weights.model_files import weight_files
from rankone.weights.settings import Decompose

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

KEPT = ("global", "float32")  # the factors from which variants are made


def main(
    run: str,
    step: int,
    model_folder: str,
    checkpoint: str,
    previous: str | None,
    settings: Decompose,
    outputs: dict[str, str],
) -> None:
    """Write the factors, one row a matrix, one a triplet, and all singular values.

    `previous` is the checkpoint before, from which the local updates are taken (None
    for the first: the base).
    """
    kept, keys = {}, []
    matrices, triplets, spectra = [], [], []
    base = index(weight_files(model_folder))
    trained = index([Path(checkpoint)])
    before = index([Path(previous)] if previous else [])
    check_match(base, trained, checkpoint)
    for key, factors, values in updates.decompositions(
        base=base,
        trained=trained,
        before=before,
        settings=settings,
        label=f"{run} step {step}",
        device=device(),
    ):
        keys.append({"run": run, "step": step} | key)
        matrices.append(keys[-1] | updates.update_statistics(factors, values))
        triplets.append(updates.triplets(factors))
        spectra.append(updates.spectrum(values))
        if (key["update"], key["view"]) == KEPT:
            kept[key["tensor"]] = factors
    versions = {"torch": torch.__version__, "safetensors": safetensors.__version__}
    origin = artefacts.origin(checkpoint) | {"rank": settings.rank} | versions
    save_factors(outputs["factors"], kept, origin | {"dtype": "float32"})
    tables = {
        "matrices": pd.DataFrame(matrices),
        "triplets": updates.tidy(keys, triplets),
        "spectra": updates.tidy(keys, spectra),
    }
    for name, table in tables.items():
        write_table(table, outputs[name])


if __name__ == "__main__":
    with job(snakemake), own_gpus(snakemake.resources.get("gpu", 0)):
        set_up(snakemake.threads)
        main(
            snakemake.wildcards.run,
            int(snakemake.wildcards.step),
            *(snakemake.input.model, snakemake.input.checkpoint),
            snakemake.input.get("previous"),
            Decompose.model_validate(snakemake.params.settings),
            dict(snakemake.output.items()),
        )
