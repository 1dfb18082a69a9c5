"""Compare the first directions of all updates, and sum up all trajectories."""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rankone.dynamics import alignment, trajectory
from rankone.dynamics.alignment_tables import (
    SHUFFLED_COLUMNS,
    alignment_table,
    contrast_table,
    null_table,
    pair_table,
)
from rankone.dynamics.subspaces import subspace_table
from rankone.runtime.device import set_up
from rankone.runtime.job import job
from rankone.statistics.intervals import DRAWS
from rankone.tables_io import concatenate, with_arms, write_table
from rankone.weights.factors import load_directions, load_steps

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

logger = logging.getLogger(__name__)


def main(
    runs: Sequence[str],
    directions: Mapping[str, str | Path],
    matrices: Sequence[str | Path],
    grams: Sequence[str | Path],
    shuffled: Sequence[str | Path],
    factors: Mapping[str, Mapping[int, str | Path]],
    outputs: Mapping[str, str | Path],
    arms: Sequence[str],
    null_draws: int,
    seed: int,
    draws: int = DRAWS,
) -> None:
    """Write every table that `outputs` names; the other paths are one for each run.

    `factors` has those of every decomposed step of some runs, `directions` those that
    training measured; of other runs the first factors are taken. `arms` are in the
    order of the config; `null_draws` walks make a null.
    """
    kept = {run: load_steps(files) for run, files in factors.items()}
    found = {
        run: load_directions(directions[run]) if run in directions else kept[run]
        for run in runs
    }
    known = dict(zip(runs, map(trajectory.read_grams, grams), strict=True))
    pairs, null = alignment.pairs(found), null_table(found, known, seed, null_draws)
    surrogates = concatenate(shuffled, SHUFFLED_COLUMNS)
    beside = pair_table(pairs, null, surrogates)
    whole = with_arms(concatenate(matrices, trajectory.MATRIX_COLUMNS), arms)
    tables = {
        "alignment_pairs": beside,
        "alignment": alignment_table(beside, seed, draws),
        "alignment_contrast": contrast_table(pairs, null, surrogates, seed, draws),
        "subspaces": subspace_table(kept, known, null_draws, seed, draws),
        "trajectory": trajectory.trajectory_table(whole, seed, draws),
        "trajectory_matrices": whole,
    }
    for name, path in outputs.items():
        write_table(with_arms(tables[name], arms), path)
        logger.info("%s: %d rows in %s", name, len(tables[name]), path)


def by_run(
    files: Sequence[str], steps: Mapping[str, Sequence[int]]
) -> dict[str, dict[int, str]]:
    """Files by run and step; they are in the order of runs, and of steps in each."""
    found = iter(files)
    return {run: {step: next(found) for step in of} for run, of in steps.items()}


if __name__ == "__main__":
    with job(snakemake):
        set_up(snakemake.threads, keep_memory=True)
        main(
            snakemake.params.runs,
            dict(
                zip(snakemake.params.measured, snakemake.input.directions, strict=True)
            ),
            snakemake.input.matrices,
            snakemake.input.grams,
            snakemake.input.shuffled,
            by_run(snakemake.input.factors, snakemake.params.decomposed),
            dict(snakemake.output.items()),
            snakemake.params.arms,
            snakemake.params.null_draws,
            snakemake.params.seed,
            snakemake.params.draws,
        )
