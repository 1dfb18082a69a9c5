"""A calibration belongs to one claim: what changes its identity, and what does not."""

import json
import shutil
import subprocess
import sys

import pytest

from conftest import ROOT
from rankone.claims.calibration import identities

PACKAGE = ROOT / "workflow" / "scripts" / "rankone"
IDENTITIES = """
import json, sys
from rankone.claims.calibration import identities
print(json.dumps(identities()))
assert not {"torch", "safetensors"} & sys.modules.keys()
"""


TAILS = {
    *("weights_heavy_tailed", "training_makes_tails", "updates_heavy_tailed"),
    "rank1_energy_beyond_noise",
}
LEFT = {f"left_aligns_more_{k}" for k in ("adjacent", "to_final", "across_seeds")}
KEPT = {"rank1_rescaled_keeps_all", "rank1_spares_knowledge"}


class Copy:
    """A copy of the package in a folder."""

    def __init__(self, folder):
        self.package = folder / "rankone"
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(PACKAGE, self.package, ignore=ignored)

    def edit(self, file: str, before: str, after: str) -> None:
        path = self.package / file
        text = path.read_text()
        assert before in text
        path.write_text(text.replace(before, after, 1))

    def identities(self) -> dict[str, str]:
        run = subprocess.run(
            [sys.executable, "-c", IDENTITIES],
            env={"PYTHONPATH": str(self.package.parent)},
            capture_output=True,
            text=True,
        )
        assert run.returncode == 0, run.stderr
        return json.loads(run.stdout)


@pytest.fixture
def copy(tmp_path) -> Copy:
    return Copy(tmp_path)


def changed(copy) -> set[str]:
    before, after = identities(), copy.identities()
    return {name for name in before.keys() | after if before.get(name) != after[name]}


def test_comments_texts_and_what_is_not_used_change_nothing(copy):
    copy.edit("claims/striped.py", "CLAIMS.add(", "# A comment.\nCLAIMS.add(")
    copy.edit("claims/striped.py", "Changes lie in stripes", "Another statement")
    copy.edit("claims/striped.py", '"""Noise in a quarter', '"""Random numbers')
    copy.edit("claims/table.py", "FALSE_POSITIVES = 0.05", "FALSE_POSITIVES = 0.1")
    copy.edit(
        "claims/measures.py", "def layered(", "def unused():\n    ...\n\n\ndef layered("
    )
    assert changed(copy) == set()


MARGINS_AND_SCENARIOS = [
    ("claims/striped.py", "margin=0.1", "margin=0.2"),
    ("claims/coefficient_predicts.py", "one_sided=True", "one_sided=False"),
    ("claims/rank1_spares_knowledge.py", "MARGIN = 0.05", "MARGIN = 0.1"),
    ("claims/implicit_overfitting.py", "(0.05, 0.1,", "(0.06, 0.1,"),
]
EFFECTS_AND_RULES = [
    ("claims/striped.py", "< 0.25", "< 0.5"),
    ("statistics/decision_rules.py", "{side} zero", "{side} nothing"),
    (
        "analysis/forgetting.py",
        "def forgetting_tables(",
        "def forgetting_tables(*, _, ",
    ),
]
ESTIMATORS = [
    ("claims/striped.py", "row_stripes", "column_stripes"),
    ("claims/simulated/weights.py", '"top_1_energy"]', '"top_1_energy", "alpha"]'),
    ("claims/measures.py", 'dropna(subset="z")', 'dropna(subset="delta")'),
]


@pytest.mark.parametrize(
    ("edits", "claims"),
    [
        (
            MARGINS_AND_SCENARIOS,
            {"striped", "coefficient_predicts", "implicit_overfitting"}
            | {"rank1_spares_knowledge"},
        ),
        (EFFECTS_AND_RULES, {"striped", "rank1_forgets_less_at_equal_kl"} | KEPT),
        (ESTIMATORS, {"striped"} | TAILS | LEFT),
    ],
)
def test_a_claim_changes_with_its_own_test_alone(copy, edits, claims):
    for edit in edits:
        copy.edit(*edit)
    assert changed(copy) == claims


def test_a_decision_rule_changes_the_claims_that_it_decides(copy):
    copy.edit(
        "statistics/decision_rules.py", "if effect.low > 0:", "if effect.low >= 0:"
    )
    others = {"rank1_carries_the_gain", "implicit_overfitting", *KEPT}
    assert changed(copy) == identities().keys() - others
