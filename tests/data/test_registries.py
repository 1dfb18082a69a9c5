"""No module but an entry's own knows its name."""

import re

import pytest

from conftest import ROOT
from rankone.data.benchmark import BENCHMARKS
from rankone.data.source import SOURCES
from rankone.data.verifier import VERIFIERS

WORKFLOW = ROOT / "workflow"
OWN = ("verifiers", "sources", "benchmarks")


def naming(name: str) -> set[str]:
    """Files of the workflow, but for those of entries, with a quoted name."""
    quoted = re.compile(rf"""["']{name}["']""")
    files = [file for suffix in ("py", "smk") for file in WORKFLOW.rglob(f"*.{suffix}")]
    own = [WORKFLOW / "scripts" / "rankone" / "data" / folder for folder in OWN]
    return {
        file.name
        for file in files
        if file.parent not in own and quoted.search(file.read_text("utf-8"))
    }


@pytest.mark.parametrize("name", [*VERIFIERS, *SOURCES, *BENCHMARKS])
def test_no_other_module_names_an_entry(name):
    assert naming(name) == set()


def test_a_name_in_a_module_is_found():
    assert naming("knowledge") >= {"names.py"}


def test_every_entry_says_what_it_is():
    assert all(e.description for e in (*VERIFIERS.values(), *SOURCES.values()))
