"""What claims read: the last scores, and the rows of an arm."""

import pandas as pd
import pytest

import synthetic
from rankone.analysis import scores
from rankone.claims.study_tables import HELD_OUT_CELL, StudyTables, last_scores


def test_cells_are_those_of_the_first_arm_at_its_last_step(tmp_path):
    paths = synthetic.write_evaluations(tmp_path, ["full-seed0", "full-seed1"], [2, 4])
    found = last_scores(scores.read_items(paths), "full", 0, 500)
    cell = found[HELD_OUT_CELL]
    assert cell.has("full", "rank1", "without_rank1")
    assert cell.mean("base") == pytest.approx(0.3)
    assert cell.difference("full", "base").value == pytest.approx(0.4)


def test_the_tables_of_an_arm_have_its_rows_alone():
    table = pd.DataFrame({"arm": ["full", "prs"], "value": [1, 2]})
    study = StudyTables({"probes": table}, {HELD_OUT_CELL: None})
    found = study.of_arm("prs")
    assert found.tables["probes"]["value"].tolist() == [2]
    assert found.last_scores == study.last_scores
