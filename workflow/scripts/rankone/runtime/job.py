"""What every job shares: its log, how it stops, and the time that is left."""

import logging
import sys
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rankone.errors import UserError


@contextmanager
def job(log: str | Path, level: int = logging.INFO, mode: str = "w") -> Iterator[None]:
    """Run a job: log to `log` and to the terminal, stop with a sentence on UserError.

    Any other error is logged with its traceback and raised.
    """
    logging.basicConfig(
        level=level,
        format="%(asctime)s %(message)s",
        datefmt="%H:%M:%S",
        handlers=[logging.FileHandler(log, mode=mode), logging.StreamHandler()],
        force=True,
    )
    for library in ("accelerate", "datasets", "fontTools", "httpx2", "lm_eval"):
        logging.getLogger(library).setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", category=FutureWarning)
    try:
        yield
    except UserError as error:
        logging.error("Error: %s", error)
        sys.exit(1)
    except Exception:
        logging.exception("This should not have happened; please report it:")
        raise


def time_left(begun: float, done: int, total: int) -> str:
    """Minutes and seconds that the rest takes at the speed since `begun`."""
    seconds = (time.monotonic() - begun) / done * (total - done)
    return "{}:{:02d}".format(*divmod(round(seconds), 60))
