"""Snakemake on a study in a folder, as a user calls it."""

import subprocess
import sys
from pathlib import Path

from conftest import ROOT

SNAKEMAKE = [sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile")]


def command(folder: Path, *arguments: str) -> list[str]:
    config = ["--configfile", str(folder / "config.yaml"), "--replace-workflow-config"]
    place = ["--directory", str(folder), "--cores", "1"]
    profile = ["--profile", str(ROOT / "profiles" / "local")]
    return [*SNAKEMAKE, *config, *place, *profile, *arguments]


def snakemake(folder: Path, *arguments: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        command(folder, *arguments), capture_output=True, text=True, timeout=600
    )


def output(run: subprocess.CompletedProcess) -> str:
    return run.stdout + run.stderr


def planned(run: subprocess.CompletedProcess) -> dict[str, int]:
    """Number of jobs of each rule in a dry run's plan."""
    assert run.returncode == 0, output(run)
    lines = [line.split() for line in output(run).split("Job stats:")[1].splitlines()]
    return {line[0]: int(line[1]) for line in lines if line[1:] and line[1].isdigit()}
