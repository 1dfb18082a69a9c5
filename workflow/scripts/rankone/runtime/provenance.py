"""What something was made with: the checked-out commit and versions of packages."""

import subprocess
from collections.abc import Iterable
from importlib.metadata import version
from pathlib import Path


def commit() -> str:
    """The checked-out commit, marked when files differ from it; or "unknown"."""
    command = ["git", "describe", "--always", "--dirty", "--abbrev=12"]
    folder = Path(__file__).parent
    try:
        run = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    except FileNotFoundError:
        return "unknown"
    return run.stdout.strip() or "unknown"


def versions(packages: Iterable[str]) -> dict[str, str]:
    """The installed versions of packages."""
    return {name: version(name) for name in packages}
