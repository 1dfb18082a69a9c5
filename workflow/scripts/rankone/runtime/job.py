"""What every job shares: its log, how it stops, and the time that is left."""

import logging
import sys
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from rankone.artefacts import job_identity, making, write_manifests
from rankone.errors import UserError

if TYPE_CHECKING:
    from snakemake.io import InputFiles
    from snakemake.script import Snakemake


@contextmanager
def job(snakemake: "Snakemake") -> Iterator[None]:
    """Run a rule's job: its log, and what its outputs are made from."""
    with logged(snakemake.log[0]):
        identity = job_identity(
            snakemake.rule,
            dict(snakemake.params.items()),
            inputs_by_name(snakemake.input),
        )
        with making(identity):
            yield
            name = "-".join([snakemake.rule, *snakemake.wildcards])
            write_manifests(name.replace("/", "-"), snakemake.output)


def inputs_by_name(inputs: "InputFiles") -> dict[str, list[str]]:
    """Paths of every named input, and of those without a name together."""
    named = {
        name: [paths] if isinstance(paths, str) else list(paths)
        for name, paths in inputs.items()
    }
    rest = [path for path in inputs if not any(path in of for of in named.values())]
    return named | ({"": rest} if rest else {})


@contextmanager
def logged(
    log: str | Path, level: int = logging.INFO, mode: str = "w"
) -> Iterator[None]:
    """Log to `log` and to the terminal, stop with a sentence on UserError.

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
