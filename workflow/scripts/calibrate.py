"""What the verdicts say of made-up studies whose truth is known."""

import logging
from concurrent.futures import ProcessPoolExecutor
from itertools import chain
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
from tqdm import tqdm

from rankone.claims import calibration
from rankone.files import sha256
from rankone.runtime.device import set_up
from rankone.runtime.job import job
from rankone.statistics import decision_rules
from rankone.tables_io import write_table

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

logger = logging.getLogger(__name__)


def main(nulls: int, effects: int, processes: int, output: str | Path) -> None:
    """Write the rates of verdicts from so many studies of every null and effect."""
    places = [
        (number, strength, seed)
        for number, scenario in enumerate(calibration.scenarios())
        for strength in scenario.strengths or (0.0,)
        for seed in range(effects if scenario.strengths else nulls)
    ]
    context = get_context("spawn")
    with ProcessPoolExecutor(processes, context, set_up, (1,)) as pool:
        found = pool.map(calibration.study, places, chunksize=4)
        rows = list(
            tqdm(found, desc="Made-up studies", total=len(places), mininterval=5)
        )
    outcomes = pd.DataFrame(chain.from_iterable(rows))
    write_table(calibration.rates(outcomes, sha256(decision_rules.__file__)), output)


if __name__ == "__main__":
    with job(snakemake):
        main(
            snakemake.params.nulls,
            snakemake.params.effects,
            snakemake.threads,
            snakemake.output[0],
        )
