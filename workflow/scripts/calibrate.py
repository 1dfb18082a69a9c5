"""What the verdicts say of simulated studies whose truth is known."""

import logging
from concurrent.futures import ProcessPoolExecutor
from itertools import chain
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
from tqdm import tqdm

from rankone.claims import calibration
from rankone.claims.claim import CLAIMS
from rankone.runtime.device import set_up
from rankone.runtime.job import job
from rankone.tables_io import read_table, write_table

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

logger = logging.getLogger(__name__)


def main(
    known: str | Path,
    claim: str | None,
    nulls: int,
    effects: int,
    processes: int,
    output: str | Path,
) -> None:
    """Write the calibration `known` with that of more claims.

    They are `claim`, or without one all whose calibration is not in it, or is that of
    another test. `nulls` and `effects` are numbers of studies of every scenario.
    """
    table = read_table(known)
    claims = [CLAIMS[claim]] if claim else calibration.uncalibrated(table)
    logger.info("To calibrate: %s", ", ".join(c.name for c in claims) or "no claim")
    studies = calibration.simulated_studies(claims, nulls, effects)
    context = get_context("spawn")
    with ProcessPoolExecutor(processes, context, set_up, (1,)) as pool:
        found = pool.map(calibration.outcomes, studies, chunksize=4)
        bar = tqdm(found, desc="Simulated studies", total=len(studies), mininterval=5)
        outcomes = pd.DataFrame(chain.from_iterable(bar), columns=calibration.OUTCOMES)
    write_table(calibration.replaced(table, calibration.rates(outcomes)), output)


if __name__ == "__main__":
    with job(snakemake):
        main(
            known=snakemake.input.known,
            claim=snakemake.params.claim,
            nulls=snakemake.params.nulls,
            effects=snakemake.params.effects,
            processes=snakemake.threads,
            output=snakemake.output[0],
        )
