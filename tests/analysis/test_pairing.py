"""Long tables become cubes with the base in every run, or are refused."""

import numpy as np
import pandas as pd
import pytest

from rankone.analysis.pairing import (
    check_same_items,
    check_unique,
    paired_cube,
    shared_values,
    with_base,
)
from rankone.errors import UserError

CELLS = [("base", "base"), ("a-seed0", "full"), ("a-seed0", "rank1"), ("b", "full")]
TABLE = pd.DataFrame(
    {"run": run, "variant": variant, "item": f"i{item}", "score": 10 * cell + item}
    for cell, (run, variant) in enumerate(CELLS)
    for item in range(3)
)


def test_the_base_stands_in_every_run_and_items_are_in_one_order():
    keys = with_base(["a-seed0", "b"], ["base", "full"])
    mixed = TABLE.sample(frac=1, random_state=0)
    found = paired_cube(mixed, keys, ["run", "variant"], "item", "score")
    expected = [[[0, 1, 2], [10, 11, 12]], [[0, 1, 2], [30, 31, 32]]]
    np.testing.assert_array_equal(found, expected)


def test_a_single_column_may_be_the_key():
    rows = TABLE[TABLE["variant"] == "full"]
    found = paired_cube(rows, [["b"], ["a-seed0"]], ["run"], "item", "score")
    np.testing.assert_array_equal(found, [[[30, 31, 32]], [[10, 11, 12]]])


def test_variants_that_only_one_run_has_are_not_shared():
    assert shared_values(TABLE, ["a-seed0", "b"], "variant") == ["full"]
    assert shared_values(TABLE, ["a-seed0"], "variant") == ["full", "rank1"]


def test_rows_that_repeat_and_items_without_a_partner_are_refused_by_name():
    key, cell = ["run", "variant", "item"], ["run", "variant"]
    check_unique(TABLE, key, "The table")
    check_same_items(TABLE, {"i0", "i1", "i2"}, cell, "item", "The table")
    with pytest.raises(UserError, match="The table: 1 item ids occur twice"):
        check_unique(pd.concat([TABLE, TABLE[:1]]), key, "The table")
    with pytest.raises(UserError, match=r"1 items of full \(b\) are not the base's"):
        check_same_items(TABLE[:-1], {"i0", "i1", "i2"}, cell, "item", "The table")
