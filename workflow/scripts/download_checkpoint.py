"""Download one imported checkpoint from a hub, and record its commit."""

import json
from typing import TYPE_CHECKING

from rankone.data import hub
from rankone.files import replacing_folder
from rankone.runtime.job import job
from rankone.weights import import_plan

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake


def main(source: str, state: str, folder: str) -> None:
    """Put the files of `owner/name@revision` into `folder`, whole or not at all.

    They are collected in `state`, where a download that was stopped goes on.
    """
    repository, revision = import_plan.hub_revision(source)
    commit = hub.commit("models", repository, revision)
    with replacing_folder(folder, state) as target:
        hub.download(f"models/{repository}", commit, target)
        (target / import_plan.RECORD).write_text(json.dumps({"commit": commit}))


if __name__ == "__main__":
    with job(snakemake.log[0]):
        main(snakemake.params.source, snakemake.params.state, snakemake.output[0])
