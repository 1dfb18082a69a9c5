"""Download one repository of the hub at its pinned commit."""

import logging
from typing import TYPE_CHECKING

from rankone.data.hub import download
from rankone.runtime.job import job

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

logger = logging.getLogger(__name__)


def main(asset: str, revision: str, folder: str) -> None:
    """Put the files of `KIND/OWNER/NAME` into a folder."""
    download(asset, revision, folder)
    logger.info("%s is at commit %s", asset, revision)


if __name__ == "__main__":
    with job(snakemake):
        main(
            *(snakemake.params.asset, snakemake.params.revision, snakemake.output[0]),
        )
