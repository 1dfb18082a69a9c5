"""The state folder of a run: whose it is, what is in it, and what is published of it.

The trainer's own checkpoints and the exports live in a folder that Snakemake does not
manage. The declared outputs of a run appear when all steps are done.
"""

import contextlib
import json
import logging
import os
import shutil
import time
from pathlib import Path

import pandas as pd

from rankone.errors import UserError
from rankone.files import digest, replacing
from rankone.tables_io import write_table
from rankone.training import measurement
from rankone.weights.checkpoints import index
from rankone.weights.updates import read_update

logger = logging.getLogger(__name__)


def export_path(folder: Path, step: int) -> Path:
    """Where the weights of a step are exported."""
    return folder / f"step-{step}.safetensors"


def read_metrics(path: Path) -> list[dict]:
    """Rows of a run's metrics; a line cut off by a kill is dropped."""
    rows = []
    for line in path.read_text().splitlines() if path.exists() else []:
        with contextlib.suppress(json.JSONDecodeError):
            rows.append(json.loads(line))
    return rows


def last_checkpoint(state: Path) -> Path | None:
    """The newest trainer checkpoint that was written to its end, or None."""
    found = filter(is_whole, state.glob("checkpoint-*"))
    return max(found, key=lambda folder: int(folder.name.split("-")[1]), default=None)


def is_whole(checkpoint: Path) -> bool:
    """Whether the file that a save writes last is there to its end."""
    try:
        json.loads((checkpoint / "trainer_state.json").read_text())
    except (OSError, json.JSONDecodeError):
        return False
    return True


def claim_state(state: Path, identity: dict) -> None:
    """Make `state` the folder of this configuration.

    A folder left by another configuration is moved aside, never continued and never
    deleted.
    """
    fingerprint = state / "fingerprint.json"
    if fingerprint.exists():
        found = json.loads(fingerprint.read_text())
        if found["fingerprint"] == digest(identity):
            return
    if state.exists() and any(state.iterdir()):
        aside = state.with_name(f"{state.name}.replaced-{time.time_ns() // 10**9}")
        os.replace(state, aside)
        logger.warning(
            "%s belongs to another configuration; moved to %s (delete it when you no "
            "longer need it). Training starts at step 0.",
            *(state, aside),
        )
    with replacing(fingerprint) as temporary:
        record = {"fingerprint": digest(identity), "identity": identity}
        temporary.write_text(json.dumps(record, indent=1, default=str))


def finished(
    state: Path, steps: list[int], moments: list[measurement.MeasurePoint]
) -> bool:
    """Whether every export and every measurement of a run is there."""
    exports = (export_path(state / "exports", step).exists() for step in steps)
    return all(exports) and measurement.complete_points(state / "measured", moments)


def check_result(run: str, metrics: pd.DataFrame, base: list[Path], last: Path) -> None:
    """Raise UserError for a run in which nothing was, or could be, learned."""
    if (metrics["zero_spread_share"] == 1).all():
        raise UserError(
            f"{run}: in none of {len(metrics)} steps did the rewards within a group "
            "differ, so there was nothing to learn from. Choose problems that the base "
            "model solves sometimes (the mean reward was "
            f"{metrics['reward'].mean():.2f}), or a higher temperature."
        )
    before = index(base)
    after = index([last])
    if not any(read_update(before, after, name).any() for name in before):
        raise UserError(f"{run}: training left every weight as it was.")


def publish(
    state: Path,
    run: str,
    moments: list[measurement.MeasurePoint],
    tables: dict[str, str],
    checkpoints: dict[int, str],
) -> None:
    """Make the declared outputs from the state: hard links, or copies if need be.

    `tables` are the paths of `metrics`, `probes` and `updates`.
    """
    measured = state / "measured"
    rows = pd.DataFrame(read_metrics(state / "metrics.jsonl"))
    write_table(rows, tables["metrics"], float_format=None)
    probes = measurement.gather_probes(measured, run, moments)
    write_table(probes, tables["probes"])
    updates = measurement.gather_updates(measured, run, moments)
    write_table(updates, tables["updates"])
    for step, target in checkpoints.items():
        source = export_path(state / "exports", step)
        with replacing(target) as temporary:
            try:
                os.link(source, temporary)
            except OSError:
                shutil.copyfile(source, temporary)
    for folder in state.glob("checkpoint-*"):
        shutil.rmtree(folder)
