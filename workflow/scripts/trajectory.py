"""Measure the updates of one run over time, beside what a random walk gives."""

from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
from tqdm import tqdm

from rankone.dynamics.trajectory import (
    MATRIX_COLUMNS,
    follow,
    long_gram,
    make_nulls,
    shuffled_cosines,
)
from rankone.runtime.device import set_up
from rankone.runtime.job import job
from rankone.tables_io import write_table
from rankone.weights.checkpoints import check_match, index, read
from rankone.weights.model_files import weight_files
from rankone.weights.updates import locate, matrix_key, read_update

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake


def main(
    run: str,
    model_folder: str,
    checkpoints: dict[int, str],
    draws: int,
    seed: int,
    matrices: str | Path,
    grams: str | Path,
    shuffled: str | Path,
) -> None:
    """Write a row for each matrix and statistic, Gram matrices, and surrogates.

    `checkpoints` are files by step, ascending; of one matrix all are in memory at once.
    `draws` walks make a null.
    """
    steps, base = list(checkpoints), index(weight_files(model_folder))
    trained = [index([Path(file)]) for file in checkpoints.values()]
    for handles, file in zip(trained, checkpoints.values(), strict=True):
        check_match(base, handles, file)
    nulls = make_nulls(steps, draws, seed)
    rows, products, surrogates = [], [], []
    for name in tqdm(sorted(filter(locate, base)), desc=run, mininterval=1):
        weight = read(base, name)
        updates = [read_update(base, handles, name) for handles in trained]
        key = {"run": run, "tensor": name} | matrix_key(name)
        key |= {"rows": len(weight), "columns": weight.shape[1], "steps": len(steps)}
        found, inner = follow(weight, updates, steps, nulls)
        products.append(long_gram(name, inner, steps))
        surrogates.append(shuffled_cosines(run, name, updates, steps, seed))
        rows += [key | row for row in found]
    write_table(pd.DataFrame(rows, columns=MATRIX_COLUMNS), matrices)
    write_table(pd.concat(products), grams)
    write_table(pd.concat(surrogates), shuffled)


if __name__ == "__main__":
    with job(snakemake):
        set_up(snakemake.threads, keep_memory=True)
        files = zip(snakemake.params.steps, snakemake.input.checkpoints, strict=True)
        main(
            *(snakemake.wildcards.run, snakemake.input.model, dict(files)),
            *(snakemake.params.draws, snakemake.params.seed),
            *(snakemake.output.matrices, snakemake.output.grams),
            snakemake.output.shuffled,
        )
