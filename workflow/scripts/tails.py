"""Whole spectra of one step, or of the base, beside those of their nulls."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from rankone.geometry import spectra
from rankone.geometry.settings import SpectraSettings
from rankone.runtime.device import set_up
from rankone.runtime.job import job
from rankone.tables_io import write_table
from rankone.weights.checkpoints import check_match, index
from rankone.weights.model_files import weight_files

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake


def main(
    run: str,
    step: int,
    model_folder: str,
    checkpoint: str | None,
    settings: SpectraSettings,
    outputs: Mapping[str, str],
) -> None:
    """Write the tables of spectra.examine(); without a checkpoint, of the base."""
    base = index(weight_files(model_folder))
    trained = index([Path(checkpoint)] if checkpoint else [])
    if checkpoint:
        check_match(base, trained, checkpoint)
    label = f"{run} step {step}"
    draws, fit_draws = settings.tail_draws, settings.fit_draws
    tables = spectra.examine(base, trained, draws, fit_draws, label)
    for name, table in tables.items():
        write_table(table.assign(run=run, step=step), outputs[name])


if __name__ == "__main__":
    with job(snakemake):
        set_up(snakemake.threads, keep_memory=True)
        main(
            snakemake.wildcards.run,
            int(snakemake.wildcards.step),
            snakemake.input.model,
            snakemake.input.get("checkpoint"),
            SpectraSettings.model_validate(snakemake.params.settings),
            dict(snakemake.output.items()),
        )
