"""Claims: what one must have, where they are named, and that they are light."""

import re
import subprocess
import sys

import pytest

from conftest import ROOT
from rankone.claims.claim import CLAIMS, Claim, Scenario, needed_tables
from rankone.claims.study_tables import StudyTables
from rankone.errors import UserError

SCRIPTS = ROOT / "workflow" / "scripts"
# Words that have a meaning of their own beside that of a claim.
WORDS = {"striped"}
HEAVY = ("torch", "transformers", "trl", "peft", "datasets", "lm_eval", "safetensors")


def studies(strength, seed):
    return StudyTables()


def claim(*scenarios, **settings):
    texts = dict.fromkeys(("source", "statement", "estimator", "null", "unit"), "x")
    return Claim(
        name="toy",
        margin=0.1,
        measure=lambda claim, study: ["measured"],
        scenarios=scenarios,
        **texts | settings,
    )


FALSE, TRUE = Scenario("nothing", studies), Scenario("effect", studies, (0.5,))


@pytest.mark.parametrize("scenarios", [(), (FALSE,), (TRUE,)])
def test_a_claim_is_calibrated_where_it_is_false_and_where_it_is_true(scenarios):
    with pytest.raises(UserError, match="scenarios of both kinds"):
        claim(*scenarios)


def test_the_scenarios_of_a_claim_have_names_of_their_own():
    with pytest.raises(UserError, match="two scenarios of one name"):
        claim(FALSE, Scenario("nothing", studies, (0.5,)))


def test_a_claim_is_not_measured_without_its_tables():
    toy = claim(FALSE, TRUE, tables=("tails",))
    assert toy.evidence(StudyTables()) == []
    assert toy.evidence(StudyTables({"tails": None})) == ["measured"]


def test_a_table_that_no_rule_makes_is_refused(monkeypatch):
    monkeypatch.setattr(
        CLAIMS, "load", lambda: {"toy": claim(FALSE, TRUE, tables=("tials",))}
    )
    with pytest.raises(UserError, match="'toy' needs the table 'tials'.*tails"):
        needed_tables(["tails"])
    assert needed_tables(["tials"]) == ["tials"]


def test_a_claim_is_named_in_its_own_file_alone():
    files = [*SCRIPTS.rglob("*.py"), *(ROOT / "workflow" / "rules").glob("*.smk")]
    names = "|".join(sorted(CLAIMS.keys() - WORDS))
    for file in files:
        found = set(re.findall(rf"[\"'/]({names})[\"'.]", file.read_text()))
        assert found <= {file.stem}, file


def test_claims_are_loaded_without_anything_heavy():
    code = (
        "import sys; from rankone.claims.claim import CLAIMS; assert len(CLAIMS) > 20"
    )
    code += f"; print(*sys.modules.keys() & {set(HEAVY)})"
    run = subprocess.run(
        [sys.executable, "-c", code],
        env={"PYTHONPATH": str(SCRIPTS)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert run.stdout.strip() == ""
