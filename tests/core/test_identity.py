"""Identity by content: which definitions count, and what changes their digests."""

import shutil
import subprocess
import sys
from functools import partial

import pytest

from conftest import ROOT
from rankone import identity
from rankone.linalg import svd

PACKAGE = ROOT / "workflow" / "scripts" / "rankone"
FIND = "import sys; from rankone import identity; print(identity.code(*sys.argv[1:]))"


def code_of_copy(folder, *roots: str) -> dict[str, str]:
    """The code of roots in a copy of the package."""
    run = subprocess.run(
        [sys.executable, "-c", FIND, *roots],
        env={"PYTHONPATH": str(folder)},
        capture_output=True,
        text=True,
        check=True,
    )
    return eval(run.stdout)


@pytest.fixture
def copy(tmp_path):
    shutil.copytree(
        PACKAGE, tmp_path / "rankone", ignore=shutil.ignore_patterns("__pycache__")
    )
    return tmp_path


def edit(folder, file: str, before: str, after: str) -> None:
    path = folder / "rankone" / file
    text = path.read_text()
    assert before in text
    path.write_text(text.replace(before, after, 1))


# Descriptions of keys are in `settings`: a better one must not stop a run.
UNUSED = ("report", "claims", "settings")
TRAINING, SVD = "rankone.training.fit:fit", "linalg/svd.py"


def test_code_is_followed_through_modules_classes_and_imports_in_functions():
    found = identity.code(TRAINING, "rankone.training.grpo_trainer:trainer")
    for name in (
        "training.fit.train",
        "training.measurement.MeasurementCallback",
        "training.interventions.substitute",
        "linalg.svd.leading",
        "inference.prefix_sharing.prefill_once",
    ):
        assert f"rankone.{name}" in found
    assert not any(word in name for name in found for word in UNUSED)


def test_a_function_a_name_and_a_partial_function_are_the_same_root():
    found = identity.code("rankone.linalg.svd:leading")
    assert identity.code(svd.leading) == found
    bound = identity.code(partial(svd.leading, rank=2))
    assert found.items() < bound.items() and len(bound) == len(found) + 1
    assert bound != identity.code(partial(svd.leading, rank=3))


def test_a_lambda_stands_for_the_statement_around_it():
    text = (PACKAGE / SVD).read_text()
    line = text[: text.index("def leading(")].count("\n") + 3
    assert identity.enclosing("rankone.linalg.svd", line) == "leading"


def test_comments_docstrings_and_hints_change_nothing(copy):
    before = code_of_copy(copy, TRAINING)
    edit(copy, SVD, "def leading(", "# A comment.\ndef leading(")
    edit(copy, SVD, '    """', '    """Another text. ')
    edit(copy, SVD, "matrix: torch.Tensor", "matrix: object")
    assert code_of_copy(copy, TRAINING) == before


def test_what_is_not_called_changes_nothing(copy):
    before = code_of_copy(copy, TRAINING)
    edit(copy, SVD, "def leading(", "def unused():\n    return 1\n\n\ndef leading(")
    edit(copy, "report/style.py", "PNG_DPI = 200", "PNG_DPI = 300")
    assert code_of_copy(copy, TRAINING) == before


def test_a_changed_definition_is_named(copy):
    before = code_of_copy(copy, TRAINING)
    edit(copy, SVD, "MINIMUM_GAP = ", "MINIMUM_GAP = 2 * ")
    after = code_of_copy(copy, TRAINING)
    assert identity.changed(before, after) == ["rankone.linalg.svd.MINIMUM_GAP"]


def test_versions_of_what_is_not_installed_are_left_out():
    assert identity.versions(["torch", "no-such-package"]).keys() == {"torch"}
