"""The wall: what planning, tables and the page read loads no heavy library."""

import subprocess
import sys

import pytest

from conftest import ROOT

SCRIPTS = ROOT / "workflow" / "scripts"
HEAVY = {"torch", "transformers", "trl", "peft", "datasets", "lm_eval", "safetensors"}
# Folders, and modules, that planning, tables and the page import.
LIGHT = ("analysis", "study", "statistics", "report")
IMPORT = """
import importlib, sys
from rankone.registry import Registry
for name in sys.argv[1:]:
    importlib.import_module(name)
for module in list(sys.modules.values()):
    for value in vars(module).values():
        if isinstance(value, Registry):
            list(value)
print(*sorted({name.split(".")[0] for name in sys.modules}))
"""


def modules(folder: str) -> list[str]:
    """Names of all modules in a folder of the package."""
    files = (SCRIPTS / "rankone" / folder).rglob("*.py")
    return [".".join(f.relative_to(SCRIPTS).with_suffix("").parts) for f in files]


def loaded(*names: str) -> set[str]:
    """Top-level modules that are loaded once these and all registries are."""
    run = subprocess.run(
        [sys.executable, "-c", IMPORT, *names],
        env={"PYTHONPATH": str(SCRIPTS)},
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stderr
    return set(run.stdout.split())


@pytest.mark.parametrize("folder", LIGHT)
def test_a_light_folder_and_the_registries_that_it_reads_load_nothing_heavy(folder):
    found = loaded(*modules(folder))
    assert "rankone" in found and not found & HEAVY


def test_the_wall_can_be_seen_to_fall():
    assert "torch" in loaded("rankone.linalg.svd")
