"""Fetch one package file, unbuilt, and check it."""

from pathlib import Path
from typing import TYPE_CHECKING

from rankone.data.benchmark import package_files
from rankone.data.package_files import fetch_package
from rankone.errors import UserError
from rankone.runtime.job import job

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake


def main(name: str, path: str | Path) -> None:
    """Put the file of the package called `name` at `path`."""
    files = package_files()
    if name not in files:
        raise UserError(
            f"There is no package file {name!r}: choose from {', '.join(files)}."
        )
    fetch_package(files[name], path)


if __name__ == "__main__":
    with job(snakemake.log[0]):
        main(snakemake.params.package, snakemake.output[0])
