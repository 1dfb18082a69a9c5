"""Write one variant of one exported step as a LoRA adapter or a merged model."""

from typing import TYPE_CHECKING

from rankone.runtime.device import set_up
from rankone.runtime.job import job
from rankone.variants import export, grammar
from rankone.variants.in_place import open_step_weights
from rankone.variants.settings import ExportSettings
from rankone.weights.model_files import weight_files

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake


def main(
    *,
    run: str,
    step: int,
    variant: str,
    model_folder: str,
    checkpoint: str,
    factors: str,
    artefact: str,
    settings: ExportSettings,
    folder: str,
) -> None:
    """Write the folder of an artefact, `adapter` or `model`.

    UserError for a variant that an adapter cannot hold.
    """
    recipe = grammar.parse(variant)
    record = export.provenance(run, step, recipe, model_folder, settings)
    weights = open_step_weights(weight_files(model_folder), checkpoint, factors)
    export.WRITERS[artefact](folder, recipe, weights, settings, record)


if __name__ == "__main__":
    with job(snakemake):
        set_up(snakemake.threads)
        main(
            run=snakemake.wildcards.run,
            step=int(snakemake.wildcards.step),
            variant=snakemake.wildcards.variant,
            model_folder=snakemake.input.model,
            checkpoint=snakemake.input.checkpoint,
            factors=snakemake.input.factors,
            artefact=snakemake.params.artefact,
            settings=ExportSettings.model_validate(snakemake.params.settings),
            folder=snakemake.output[0],
        )
