"""A stand-in for conda where there is none: what `snakemake --sdm conda` calls.

Every channel is the local one beside this file; solver and installer are rattler's.
"""

import argparse
import asyncio
import json
import os
import sys
from pathlib import Path

import yaml
from rattler import Channel, Subdir, VirtualPackage, install, solve

ROOT = Path(__file__).resolve().parents[1]
PLATFORM = str(Subdir.current())
ANSWERS = {
    "--version": "conda 24.7.1",
    "info": json.dumps({"conda_prefix": str(ROOT), "platform": PLATFORM}),
    "clean": "",
    "config": json.dumps({"get": {"channel_priority": "strict"}}),
}


async def link(specs: list[str], prefix: Path) -> None:
    """Solve for conda packages and install them."""
    records = await solve(
        [Channel((ROOT / "channel").as_uri())],
        specs,
        platforms=[PLATFORM, "noarch"],
        virtual_packages=VirtualPackage.detect(),
    )
    await install(records, prefix, cache_dir=ROOT / "cache", show_progress=False)


def create(file: Path, prefix: Path) -> None:
    """Make the environment of an environment file: conda packages, then pip's."""
    entries = yaml.safe_load(file.read_text())["dependencies"]
    asyncio.run(link([entry for entry in entries if isinstance(entry, str)], prefix))
    pins = [pin for entry in entries if isinstance(entry, dict) for pin in entry["pip"]]
    # Instead of a normal end, at which rattler's threads may crash.
    python = str(prefix / "bin" / "python")
    os.execv(python, [python, "-m", "pip", "install", *pins])


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--file", type=Path)
    parser.add_argument("--prefix", type=Path)
    options, rest = parser.parse_known_args(sys.argv[1:])
    if rest[:2] == ["env", "create"]:
        create(options.file, options.prefix)
    elif rest[0] in ANSWERS:
        print(ANSWERS[rest[0]])
    else:
        sys.exit(f"This stand-in for conda does not know: {' '.join(sys.argv[1:])}")
