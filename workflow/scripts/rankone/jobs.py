"""What every job shares: its log, how it stops, its threads, its memory allocator."""

import ctypes
import logging
import platform
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rankone.errors import UserError

M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4  # <malloc.h>


@contextmanager
def job(log: str | Path, threads: int | None = None) -> Iterator[None]:
    """Run a job: log to `log` and to the terminal, stop with a sentence on UserError.

    Any other error is logged with its traceback and raised.
    """
    handlers = [logging.FileHandler(log, mode="w"), logging.StreamHandler()]
    form = "%(asctime)s %(message)s"
    logging.basicConfig(level=logging.INFO, format=form, datefmt="%H:%M:%S", force=True)
    logging.getLogger().handlers[:] = handlers
    for handler in handlers:
        handler.setFormatter(logging.Formatter(form, "%H:%M:%S"))
    for library in ("httpx", "lm_eval", "datasets", "accelerate", "unearth"):
        logging.getLogger(library).setLevel(logging.WARNING)
    warnings.filterwarnings("ignore", category=FutureWarning)
    if threads:
        set_threads(threads)
    try:
        yield
    except UserError as error:
        logging.error("Error: %s", error)
        sys.exit(1)
    except Exception:
        logging.exception("This should not have happened; please report it:")
        raise


def set_threads(threads: int) -> None:
    """Give torch that many threads within one operation."""
    import torch

    torch.set_num_threads(threads)


def keep_freed_memory() -> None:
    """Let glibc keep freed memory instead of handing it back to the system.

    A training step frees and allocates the same huge tensors again; without this the
    page faults cost about a third of a step on a CPU. Elsewhere than on glibc it does
    nothing.
    """
    if platform.libc_ver()[0] == "glibc":
        libc = ctypes.CDLL(None)
        libc.mallopt(M_MMAP_MAX, 0)
        libc.mallopt(M_TRIM_THRESHOLD, -1)
