"""What is retained or damaged is what was planted, and items are counted."""

import numpy as np
import pytest

from knowledge import ARMS, items_of
from rankone.analysis.retention import (
    RETENTION_COLUMNS,
    benefit_and_damage,
    retention_table,
)
from rankone.statistics.equivalence import (
    DAMAGED,
    RETAINED,
)


def test_gained_and_lost_items_are_counted():
    base = np.repeat([0, 1, 0, 1], [9, 1, 50, 40])
    variant = np.repeat([1, 0, 0, 1], [9, 1, 50, 40])
    found = benefit_and_damage(base, variant)
    assert (found.gained.value, found.lost.value, found.n) == (0.09, 0.01, 100)
    assert found.p == pytest.approx(22 / 1024)
    assert found.lost.low < 0.01 < found.lost.high


def test_equal_means_can_hide_damage():
    base, variant = np.repeat([0, 1], 50), np.repeat([1, 0], 50)
    found = benefit_and_damage(base, variant)
    assert found.lost.low > 0.3 and found.gained.low > 0.3
    assert found.p == 1


def test_items_must_be_paired():
    with pytest.raises(ValueError, match="paired"):
        benefit_and_damage([0, 1], [0, 1, 1])


def test_every_benchmark_and_domain_has_a_verdict():
    found = retention_table(items_of(), ARMS, 0.05, seed=0, draws=300)
    assert list(found.columns) == RETENTION_COLUMNS
    found = found.set_index(["arm", "run", "benchmark", "domain", "variant"])
    assert len(found) == 2 * (3 + 1) * (3 + 2)
    mean = found.loc["full", "full-seed0", "mean", "knowledge", "full"]
    assert mean["difference"] == pytest.approx(-0.2)
    assert mean["verdict"] == DAMAGED
    assert (mean["gained"], mean["lost"], mean["p"] < 1e-9) == (0, 0.2, True)
    assert mean["low"] < mean["low_90"] < mean["difference"] < mean["high_90"]
    kept = found.loc["full", "full-seed0", "mean", "mathematics"]
    assert (kept["verdict"] == RETAINED).all()
    assert set(found.loc["prs", "recipe"]) == {"rank1"}


def test_items_are_not_counted_over_several_runs():
    items = items_of(prs=("prs-seed0", "prs-seed1"))
    found = retention_table(items, ARMS, 0.05, seed=0, draws=100)
    several = found["runs"] > 1
    assert several.any()
    columns = ["gained", "lost", "p"]
    assert found.loc[several, columns].isna().all(axis=None)
    assert found.loc[~several, columns].notna().all(axis=None)
