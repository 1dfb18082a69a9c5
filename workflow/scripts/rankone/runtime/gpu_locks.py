"""GPUs of one machine without a scheduler: no two jobs share a device."""

import logging
import os
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TextIO

from rankone.errors import UserError
from rankone.runtime.file_lock import try_lock

logger = logging.getLogger(__name__)

# Of the machine and not of a study, so that all its studies share the devices.
FOLDER = Path("/tmp/rankone-gpus")
SECONDS = 2


def names(visible: str | None, count: int) -> list[str]:
    """Names of the `count` devices that CUDA_VISIBLE_DEVICES, if set, leaves."""
    found = map(str, range(count)) if visible is None else visible.split(",")
    return [name.strip() for name in found][:count]


@contextmanager
def take(wanted: int, devices: list[str], folder: Path) -> Iterator[list[str]]:
    """Hold `wanted` of the devices, once so many are free; UserError for too many.

    The kernel frees a device when its holder ends, however it ends.
    """
    if wanted > len(devices):
        raise UserError(
            f"The job wants {wanted} GPUs, but this machine has {len(devices)}: "
            f"{', '.join(devices)}. Lower `gpu` with --set-resources."
        )
    said = False
    with ExitStack() as held:
        while len(taken := lock(devices, wanted, folder, held)) < wanted:
            held.close()
            if not said:
                logger.info("All GPUs are taken; waiting for %d.", wanted)
            said = True
            time.sleep(SECONDS)
        yield taken


def lock(devices: list[str], wanted: int, folder: Path, held: ExitStack) -> list[str]:
    """Lock up to `wanted` free devices; `held` frees them when it is closed."""
    taken = []
    for device in devices:
        file = held.enter_context(open_lock(folder, device))
        if len(taken) < wanted and try_lock(file):
            taken.append(device)
    return taken


def open_lock(folder: Path, device: str) -> TextIO:
    """The lock file of a device, which every user of the machine can lock."""
    with suppress(FileExistsError):
        folder.mkdir()
        folder.chmod(0o1777)
    path = folder / device.replace("/", "_")
    if not path.exists():
        path.touch()
    return open(path)


@contextmanager
def lock_gpus(wanted: int, count: int, folder: Path = FOLDER) -> Iterator[None]:
    """Let this process, which has not used CUDA yet, see `wanted` GPUs of its own.

    `count` is the number of visible devices. Nothing is changed without any, nor in a
    SLURM job, where SLURM gives them out.
    """
    if not count or "SLURM_JOB_ID" in os.environ:
        yield
        return
    devices = names(os.environ.get("CUDA_VISIBLE_DEVICES"), count)
    with take(wanted, devices, folder) as taken:
        os.environ["CUDA_VISIBLE_DEVICES"] = ",".join(taken)
        if taken:
            logger.info("GPUs of this job: %s", ", ".join(taken))
        yield
