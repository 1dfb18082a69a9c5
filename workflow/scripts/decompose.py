"""SVD of every update of one exported step."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import safetensors
import torch
from tqdm import tqdm

from rankone.checkpoints import check_match, metadata, opened, read
from rankone.compute import set_up
from rankone.factors import save_factors
from rankone.files import replacing
from rankone.jobs import job
from rankone.models import weight_files
from rankone.updates import describe, locate

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake


def main(
    run: str,
    step: int,
    model_folder: str,
    checkpoint: str,
    rank: int,
    factors: str,
    matrices: str,
    spectra: str,
) -> None:
    """Write the factors, one row a matrix, and all singular values."""
    kept, rows, values = {}, [], []
    with (
        opened(weight_files(model_folder)) as base,
        opened([Path(checkpoint)]) as trained,
    ):
        check_match(base, trained, checkpoint)
        for name in tqdm(sorted(filter(locate, trained)), desc=f"{run} step {step}"):
            start = read(base, name)
            update = read(trained, name) - start
            kept[name], sigma, row = describe(update, start.norm().item(), rank)
            layer, module = locate(name)
            key = {"run": run, "step": step, "layer": layer, "module": module}
            key["tensor"] = name
            rows.append(key | row)
            index = np.arange(1, len(sigma) + 1)
            values.append(pd.DataFrame(key | {"index": index, "sigma": sigma}))
    versions = {"torch": torch.__version__, "safetensors": safetensors.__version__}
    origin = metadata(checkpoint) | {"rank": rank, "dtype": "float32"} | versions
    save_factors(factors, kept, origin)
    tables = ((matrices, pd.DataFrame(rows)), (spectra, pd.concat(values)))
    for path, table in tables:
        with replacing(path) as temporary:
            table.to_parquet(temporary, index=False)


if __name__ == "__main__":
    with job(snakemake.log[0]):
        set_up(snakemake.threads)
        main(
            snakemake.wildcards.run,
            int(snakemake.wildcards.step),
            *(snakemake.input.model, snakemake.input.checkpoint),
            snakemake.params.rank,
            **dict(snakemake.output.items()),
        )
