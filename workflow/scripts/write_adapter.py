"""Write one variant of one exported step as a LoRA adapter."""

from typing import TYPE_CHECKING

from rankone.runtime.device import set_up
from rankone.runtime.job import job
from rankone.variants import export, grammar
from rankone.variants.in_place import open_step_weights
from rankone.weights.checkpoints import weight_files

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
    recipe = grammar.parse(variant)
    grammar.check_adapter(recipe, settings["others"])
    record = export.provenance(run, step, recipe, model_folder, settings)
    files = open_step_weights(weight_files(model_folder), checkpoint, factors)
    export.write_adapter(folder, recipe, files, settings, record)


if __name__ == "__main__":
    with job(snakemake):
        set_up(snakemake.threads)
        main(
            snakemake.wildcards.run,
            int(snakemake.wildcards.step),
            *(snakemake.wildcards.variant, snakemake.input.model),
            *(snakemake.input.checkpoint, snakemake.input.factors),
            *(snakemake.params.settings, snakemake.output[0]),
        )
