"""Write one variant of one exported step as a LoRA adapter."""

from typing import TYPE_CHECKING

from rankone import artefacts, recipes
from rankone.checkpoints import weight_files
from rankone.compute import set_up
from rankone.jobs import job
from rankone.substitution import sources

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake


def main(
    run: str,
    step: int,
    variant: str,
    model_folder: str,
    checkpoint: str,
    factors: str,
    settings: dict,
    folder: str,
) -> None:
    """Write the adapter; UserError for a variant that none can hold.

    `settings` has `model`, `others` and `seed`.
    """
    recipe = recipes.parse(variant)
    recipes.check_adapter(recipe, settings["others"])
    record = artefacts.provenance(run, step, recipe, model_folder, settings)
    files = sources(weight_files(model_folder), checkpoint, factors)
    artefacts.write_adapter(folder, recipe, files, settings, record)


if __name__ == "__main__":
    with job(snakemake.log[0]):
        set_up(snakemake.threads)
        main(
            snakemake.wildcards.run,
            int(snakemake.wildcards.step),
            *(snakemake.wildcards.variant, snakemake.input.model),
            *(snakemake.input.checkpoint, snakemake.input.factors),
            *(snakemake.params.settings, snakemake.output[0]),
        )
