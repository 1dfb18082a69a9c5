"""What SLURM knows of the study's jobs, and how those of a killed Snakemake end."""

import logging
import subprocess
import time
from pathlib import Path

from rankone.errors import UserError

logger = logging.getLogger(__name__)

# SLURM gives a cancelled job 30 s; a step of a large model and its save take longer.
PATIENCE = 600


def squeue(*arguments: str) -> list[str] | None:
    """Lines of squeue; None where it is missing or SLURM does not answer."""
    command = ["squeue", "--noheader", *arguments]
    try:
        run = subprocess.run(command, capture_output=True, text=True, timeout=60)
    except (FileNotFoundError, subprocess.TimeoutExpired):
        return None
    return None if run.returncode else run.stdout.splitlines()


def active_jobs() -> set[str] | None:
    """Ids of all jobs that wait, run or end; None where SLURM does not answer."""
    lines = squeue("--format=%A")
    return None if lines is None else set(map(str.strip, lines))


def jobs_of(folder: Path, prefix: str) -> list[str]:
    """Ids of the user's active jobs that a Snakemake in `folder` has submitted."""
    lines = squeue("--me", "--format=%A|%j|%Z")
    if lines is None:
        raise UserError(
            "squeue does not answer, so it cannot be known whether jobs of an "
            "interrupted Snakemake still run here. Try again when SLURM is up."
        )
    found = (line.split("|", 2) for line in lines)
    return [
        job
        for job, name, place in found
        if name.startswith(f"{prefix}_") and place.strip() == str(folder)
    ]


def end_orphans(folder: Path, prefix: str) -> None:
    """End the jobs that a killed Snakemake left in `folder`; trainings save first.

    SIGTERM alone goes to what runs: a plain scancel would kill 30 seconds later.
    UserError when they have not ended after `PATIENCE` seconds.
    """
    if not (orphans := jobs_of(folder, prefix)):
        return
    logger.warning(
        "An interrupted Snakemake left SLURM jobs %s in this folder. They get SIGTERM, "
        "so that training saves its state, and are submitted again.",
        ", ".join(orphans),
    )
    subprocess.run(["scancel", "--state=PENDING", *orphans], check=False)
    subprocess.run(["scancel", "--signal=TERM", *orphans], check=False)
    deadline = time.monotonic() + PATIENCE
    while orphans := jobs_of(folder, prefix):
        if time.monotonic() > deadline:
            raise UserError(
                f"SLURM jobs {', '.join(orphans)} of an interrupted Snakemake have not "
                f"ended in {PATIENCE // 60} minutes. Look at `squeue --me`, end them "
                "with `scancel`, and run the same command."
            )
        time.sleep(2)
