"""How much disk a study needs, and whether it is there."""

import os
import shutil
from pathlib import Path

from rankone.errors import UserError
from rankone.study.config import Config
from rankone.study.estimates import parameters
from rankone.study.runs import expand
from rankone.weights import import_plan
from rankone.weights.import_plan import FLOAT32_BYTES

GIGABYTE = 1e9
# The trainer's state: weights and two Adam moments; two states are kept, and a third
# exists while it is written.
STATE_COPIES = 9
# What stays of a checkpoint that is not kept, as a share of its float32 bytes: at most
# this with rank 16, where widths are 576 (3.9 %, measured); less where they are larger.
DECOMPOSED = 0.05


def checkpoint_bytes(source: str | None, model: int) -> int:
    """Float32 bytes of one checkpoint; `source` is None for one that is trained here.

    A local folder tells: a LoRA adapter is small. `model` are the bytes of the base.
    """
    if source is None or import_plan.hub_revision(source):
        return model
    return import_plan.float32_bytes(import_plan.plan(Path(source)))


def disk_needed(config: Config) -> tuple[int, int]:
    """Bytes of a study at its peak, and when it is done.

    Base, checkpoints and merged models are float32. While a run trains there is the
    trainer's state. With `checkpoints: temp` those of one run are there at a time, and
    DECOMPOSED of all in the end.
    """
    model = parameters(config.model) * FLOAT32_BYTES
    runs = expand(config).values()
    found = [run.sources or dict.fromkeys(run.steps) for run in runs]
    sizes = [sum(checkpoint_bytes(s, model) for s in each.values()) for each in found]
    state = STATE_COPIES * any(run.trained for run in runs)
    # A download is there beside what it is converted to.
    state += any(
        source and import_plan.hub_revision(source)
        for e in found
        for source in e.values()
    )
    kept, passing = sum(sizes), 0
    if config.checkpoints == "temp":
        kept, passing = DECOMPOSED * sum(sizes), max(sizes)
    merged = len(runs) * len(config.artefacts.models)
    durable = model * (1 + merged) + kept
    return round(durable + model * state + passing), round(durable)


def disk_used(folders: list[str]) -> int:
    """Bytes that a study's folders hold already; hard links count once."""
    sizes = {}
    for folder in folders:
        for root, _, names in os.walk(folder):
            for status in (os.lstat(os.path.join(root, name)) for name in names):
                sizes[status.st_ino] = status.st_size
    return sum(sizes.values())


def check_disk(needed: int, folders: list[str]) -> None:
    """Raise UserError when the working directory's disk cannot take `needed` bytes.

    What `folders` hold already counts towards them.
    """
    missing, free = needed - disk_used(folders), shutil.disk_usage(".").free
    if missing > free:
        raise UserError(
            f"The disk of {Path().resolve()} has {free / GIGABYTE:.1f} GB free, but "
            f"exports and trainer state need about {missing / GIGABYTE:.1f} GB more. "
            "Free some, export fewer steps, or use `--directory` on another disk."
        )


def check_room(config: Config) -> None:
    """Check that the whole study fits on the disk."""
    check_disk(disk_needed(config)[0], ["results", "state"])
