"""Data and scoring of Rankone's lm-eval tasks: local JSON Lines, no hub, no cache."""

import os
import sys
from importlib.util import find_spec
from pathlib import Path

import datasets

ROOT = Path(__file__).resolve().parents[2]
if find_spec("rankone") is None:
    # lm-eval's own command line loads this file by its path. Last, so that no script
    # beside the package hides an installed one.
    sys.path.append(str(ROOT / "workflow" / "scripts"))

from rankone.data.verifier import correct  # noqa: E402
from rankone.errors import UserError  # noqa: E402
from rankone.files import read_jsonl  # noqa: E402


def data_folder() -> Path:
    """Folder of the prepared data: $RANKONE_DATA, or the study's own."""
    return Path(os.environ.get("RANKONE_DATA") or ROOT / "results" / "prepare")


def load(file: str, **_: object) -> dict[str, datasets.Dataset]:
    """The rows of `file` in the data folder as the split "test"; UserError if absent.

    lm-eval passes a task's metadata along with `file`; it is ignored.
    """
    path = data_folder() / file
    if not path.is_file():
        raise UserError(
            f"There is no {path}: run the study's preparation first, or set "
            "RANKONE_DATA to the folder that has problems/ and benchmarks/."
        )
    return {"test": datasets.Dataset.from_list(read_jsonl(path))}


def verify(doc: dict, results: list[str]) -> dict[str, float]:
    """Score one completion by the verifier that training uses as its reward."""
    return {"exact_match": float(correct(results[:1], [doc])[0])}
