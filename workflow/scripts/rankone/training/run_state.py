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
from rankone.training import measurement, run_identity
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
    return max(found, key=step_of, default=None)


def step_of(checkpoint: Path) -> int:
    """The step at which a trainer checkpoint was saved."""
    return int(checkpoint.name.split("-")[1])


def is_whole(checkpoint: Path) -> bool:
    """Whether the file that a save writes last is there to its end."""
    try:
        json.loads((checkpoint / "trainer_state.json").read_text())
    except (OSError, json.JSONDecodeError):
        return False
    return True


def claim_state(state: Path, identity: dict, verifiers: list[str], made: dict) -> dict:
    """Make `state` the folder of this run; its manifest.

    A folder left by another run is moved aside, never continued and never deleted.
    `made` is from made_with().
    """
    found = run_identity.read_manifest(state)
    if found and found["digest"] == digest(identity):
        return found
    if state.exists() and any(state.iterdir()):
        move_aside(state, "belongs to another configuration")
    manifest = run_identity.new_manifest(identity, verifiers, made)
    run_identity.write_manifest(state, manifest)
    return manifest


def move_aside(state: Path, why: str) -> None:
    """Give a state folder another name."""
    aside = state.with_name(f"{state.name}.replaced-{time.time_ns() // 10**9}")
    os.replace(state, aside)
    logger.warning(
        "%s %s; moved to %s (delete it when you no longer need it). Training starts at "
        "step 0.",
        *(state, why, aside),
    )


def claim_code(
    state: Path, run: str, manifest: dict, made: dict, code_changes: str
) -> dict:
    """Record that a run which is not finished goes on with the code that is there now.

    Where other code made what it goes on from, `code_changes` decides: UserError naming
    what changed (`stop`), a mixed run (`continue`), or a new start (`restart`).
    """
    checkpoint = last_checkpoint(state)
    step = step_of(checkpoint) if checkpoint else 0
    segments = [s for s in manifest["segments"] if s["from_step"] < step]
    changes = run_identity.changes(segments[-1], made) if segments else []
    if changes and code_changes == "stop":
        raise UserError(changed_code(run, step, changes))
    if changes and code_changes == "restart":
        move_aside(state, "was made by other code")
        segments, step = [], 0
    if changes and code_changes == "continue":
        logger.warning("%s: other code goes on from step %d: mixed", run, step)
    if changes or not segments:
        segments.append({"from_step": step} | made)
    manifest = manifest | {"segments": segments}
    run_identity.write_manifest(state, manifest)
    return manifest


def changed_code(run: str, step: int, changes: list[str]) -> str:
    """The sentence about a half-made run whose code is another one now."""
    named, more = ", ".join(changes[:2]), len(changes) - 2
    return (
        f"{run}: its first {step} steps were made by other code ({named}"
        f"{f' and {more} more' if more > 0 else ''} changed since); go on, recorded "
        "as mixed, with `--config code_changes=continue`, or start again with "
        "`--config code_changes=restart`, which moves the state aside."
    )


def finished(
    state: Path, steps: list[int], points: list[measurement.MeasurePoint]
) -> bool:
    """Whether every export and every measurement of a run is there."""
    exports = (export_path(state / "exports", step).exists() for step in steps)
    return all(exports) and measurement.complete_points(state / "measured", points)


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
    points: list[measurement.MeasurePoint],
    tables: dict[str, str],
    checkpoints: dict[int, str],
) -> None:
    """Make the declared outputs from the state: hard links, or copies if need be.

    `tables` are the paths of `metrics`, `probes` and `updates`; the manifest goes
    beside the first.
    """
    manifest = run_identity.read_manifest(state)
    run_identity.write_manifest(Path(tables["metrics"]).parent, manifest)
    measured = state / "measured"
    rows = pd.DataFrame(read_metrics(state / "metrics.jsonl"))
    write_table(rows, tables["metrics"], float_format=None)  # all digits, as logged
    probes = measurement.gather_probes(measured, run, points)
    write_table(probes, tables["probes"])
    updates = measurement.gather_updates(measured, run, points)
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
