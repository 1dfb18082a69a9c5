"""Record what a study was made from: config, base, seeds, versions, commit."""

import json
import platform
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from rankone.artefacts import metadata
from rankone.files import digest, replacing
from rankone.runtime.job import job
from rankone.runtime.provenance import commit, versions
from rankone.training import run_identity
from rankone.weights.checkpoints import weights_hash

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

LIBRARIES = (
    *("snakemake", "torch", "transformers", "trl", "lm-eval", "safetensors"),
    *("numpy", "scipy", "pandas"),
)


def used(paths: list[str], column: str, read: Callable) -> str:
    """The different values of a column of several tables."""
    return ", ".join(sorted({value for path in paths for value in read(path)[column]}))


def origins(factors: list[str]) -> dict[str, dict[str, str]]:
    """Where imported checkpoints come from, by run and step."""
    found: dict[str, dict[str, str]] = {}
    for head in map(metadata, factors):
        commit = f" ({head['commit']})" if "commit" in head else ""
        found.setdefault(head["run"], {})[head["step"]] = head["source"] + commit
    return found


def runs(metrics: list[str]) -> dict[str, dict[str, str | list[str]]]:
    """Identity, code and status of every trained run, by the manifests beside these.

    `code` has one digest, of a mixed run several; `status` is empty where the code that
    is there now made the run.
    """
    found = {}
    for folder in (Path(path).parent for path in metrics):
        if manifest := run_identity.read_manifest(folder):
            now = run_identity.current(manifest)
            found[folder.name] = {
                "identity": manifest["digest"],
                "code": run_identity.code_digests(manifest),
                "status": run_identity.code_status(manifest, now),
            }
    return found


def main(
    config: dict,
    model_folder: str,
    metrics: list[str],
    evaluations: list[str],
    imported: list[str],
    output: str,
) -> None:
    """Write the provenance of a study as JSON.

    `metrics` are of trained runs, `imported` the factors of imported ones.
    """
    record = {
        "study": config["study"],
        "config": {"sha256": digest(config)},
        "base": {"model": config["model"], "weights": weights_hash(model_folder)},
        "seeds": {name: arm["seeds"] for name, arm in config["arms"].items()},
        "runs": runs(metrics),
        "imported": origins(imported),
        "precision": {
            "updates and SVD": "float32",
            "training": used(metrics, "precision", pd.read_table) or "none here",
            "evaluation": used(evaluations, "precision", pd.read_parquet),
        },
        "others": config["others"],
        "commit": commit(),
        "python": platform.python_version(),
        "versions": versions(LIBRARIES),
    }
    with replacing(output) as temporary:
        temporary.write_text(json.dumps(record, indent=1))


if __name__ == "__main__":
    with job(snakemake):
        main(
            snakemake.params.config,
            *(snakemake.input.model, snakemake.input.metrics),
            *(snakemake.input.evaluations, snakemake.input.imported),
            snakemake.output[0],
        )
