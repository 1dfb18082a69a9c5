"""Seconds from the command to the plan, for every shipped config: `snakemake -n`.

.venv/bin/python benchmarks/start.py [REPEATS]
"""

import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def seconds(arguments: list[str]) -> tuple[float, float]:
    """Wall and CPU seconds of Snakemake in the checkout."""
    begun, before = time.monotonic(), resource.getrusage(resource.RUSAGE_CHILDREN)
    command = [sys.executable, "-m", "snakemake", *arguments]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return time.monotonic() - begun, spent


def report(name: str, arguments: list[str], repeats: int) -> None:
    found = [seconds(arguments) for _ in range(repeats)]
    wall, spent = map(statistics.median, zip(*found, strict=True))
    print(f"{name:20} {wall:6.2f} s, {spent:5.2f} s of CPU", flush=True)


if __name__ == "__main__":
    repeats = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    report("snakemake --version", ["--version"], repeats)
    for config in sorted((ROOT / "config").glob("*.yaml")):
        with tempfile.TemporaryDirectory() as folder:
            place = ["--directory", folder, "--replace-workflow-config"]
            arguments = ["-n", *place, "--configfile", str(config)]
            report(config.name, arguments, repeats)
