"""Who may work on something: one process at a time, also after kills and on clusters.

A lease is a file that its holder locks (flock); the kernel drops the lock when the
holder ends, however it ends. The file says who the holder is. Locks may be of one host
alone (Lustre mounted with `localflock`), or be refused (without `flock`): what another
host has written is therefore believed until SLURM says that its job has ended.
"""

import json
import logging
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from rankone.errors import UserError
from rankone.runtime.file_lock import try_lock
from rankone.runtime.slurm import active_jobs

logger = logging.getLogger(__name__)

SECONDS = 5


@contextmanager
def hold(path: str | Path, what: str, wait: bool = True) -> Iterator[None]:
    """Hold the lease in the file `path` of `what`, such as "Run full-seed0".

    Waits until the holder has ended; UserError instead without `wait`, and where it
    cannot be known whether the holder lives.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    said = None
    with open(path, "a+") as file:
        while holder := other_holder(file):
            if not wait:
                raise UserError(
                    f"{what} is in use by {holder_text(holder)}. Wait until it has "
                    "ended, or stop it with Ctrl-C; nothing was started."
                )
            if said != holder:
                said = holder
                logger.info(
                    "%s is in use by %s; waiting until it has ended.",
                    *(what, holder_text(holder)),
                )
            time.sleep(SECONDS)
        write(file, json.dumps(myself()))
        try:
            yield
        finally:
            write(file, "")


def other_holder(file: TextIO) -> dict | None:
    """The record of the process that holds the lease, or None: this one does now."""
    try:
        locked = try_lock(file)
    except OSError:
        locked = None
    record = read(file)
    if locked is False:
        return record or {}
    # On one host the kernel's word is enough: who holds no lock has ended.
    here = locked and record.get("host") == socket.gethostname()
    return None if here or not record or ended(record, file.name) else record


def ended(record: dict, path: str) -> bool:
    """Whether the process of a record has ended; UserError if that cannot be known."""
    if record["job"]:
        jobs = active_jobs()
        # A job that SLURM has started again has the id of its first life.
        if jobs is not None:
            return record["job"] == myself()["job"] or record["job"] not in jobs
    elif record["host"] == socket.gethostname():
        return not Path(f"/proc/{record['pid']}").exists()
    raise UserError(
        f"{path} names {holder_text(record)} as the holder, and it cannot be known "
        "from here whether that has ended. If you know that it has, delete the file "
        "and run the same command."
    )


def myself() -> dict:
    """Host, process and SLURM job of this process."""
    job = os.environ.get("SLURM_JOB_ID")
    return {"host": socket.gethostname(), "pid": os.getpid(), "job": job}


def holder_text(record: dict) -> str:
    """A holder in words."""
    if not record:
        return "another process"
    job = f", SLURM job {record['job']}" if record["job"] else ""
    return f"process {record['pid']} on {record['host']}{job}"


def read(file: TextIO) -> dict:
    """The record in a lease's file; empty when there is none."""
    file.seek(0)
    try:
        return json.loads(file.read() or "{}")
    except json.JSONDecodeError:
        return {}


def write(file: TextIO, text: str) -> None:
    """Put `text` for what the file holds, where other hosts see it."""
    file.seek(0)
    file.truncate()
    file.write(text)
    file.flush()
    os.fsync(file.fileno())
