"""Locks on open files; the kernel drops one when its holder ends, however it ends."""

import fcntl
from typing import IO


def try_lock(file: IO) -> bool:
    """Lock the file if nobody else has; OSError where the file system has no locks."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
