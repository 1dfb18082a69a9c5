"""Runs alone, and all runs of an arm together."""

import pandas as pd

from rankone.names import groups_of_runs
from rankone.tables_io import with_all_runs


def test_every_run_is_a_group_and_so_are_all():
    found = groups_of_runs(["a-seed1", "a-seed0"])
    both = ["a-seed0", "a-seed1"]
    assert found == [("a-seed0", both[:1]), ("a-seed1", both[1:]), ("all", both)]


def test_rows_come_again_under_the_run_all_but_for_the_base():
    runs = ["base", "a-seed0", "a-seed1", "b-seed0"]
    table = with_all_runs(pd.DataFrame({"run": runs, "value": range(4)}))
    together = table[table["run"] == "all"]
    assert together["member"].tolist() == runs[1:]
    assert together["arm"].tolist() == ["a", "a", "b"]
    assert together["value"].tolist() == [1, 2, 3]
    assert table["run"].tolist()[:4] == runs
