"""Knowledge that a variant keeps: equivalence to the base, items gained and lost.

"Does not maintain other knowledge" (arXiv 2605.06523) can mean no change or damage, so
that a difference test and an equivalence test are reported together.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from rankone.analysis.scores import CELL, CELL_ORDER, Cell, cells
from rankone.names import BASE
from rankone.statistics.equivalence import equivalence
from rankone.statistics.hypothesis_tests import mcnemar
from rankone.statistics.intervals import DRAWS, Estimate, Sample, wilson

RETENTION_COLUMNS = [
    *(*CELL, "recipe", "difference", "low", "high", "low_90", "high_90"),
    *("margin", "verdict", "rule", "gained", "gained_low", "gained_high"),
    *("lost", "lost_low", "lost_high", "p"),
]


@dataclass(frozen=True)
class Change:
    """Shares of items that a variant gained and lost, and whether they differ.

    `p` is McNemar's exact p, `n` the number of items.
    """

    gained: Estimate
    lost: Estimate
    p: float
    n: int


def benefit_and_damage(base_scores: ArrayLike, variant_scores: ArrayLike) -> Change:
    """Items whose score rose and fell; a difference of means can hide both.

    Scores (items,) in [0, 1], paired. Wilson intervals. With scores that are not only 0
    or 1 `p` is that of the exact sign test. Samples at random temperature gain and lose
    items without any change of the model; greedy answers do not.
    """
    base, variant = np.asarray(base_scores), np.asarray(variant_scores)
    if base.ndim != 1 or base.shape != variant.shape or not base.size:
        raise ValueError(f"scores: shapes {base.shape} and {variant.shape}, not paired")
    gained, lost = int((variant > base).sum()), int((variant < base).sum())
    n = len(base)
    shares = wilson(gained / n, n), wilson(lost / n, n)
    return Change(*shares, mcnemar(gained, lost), n)


def retention_table(
    items: pd.DataFrame,
    arms: Mapping[str, str | None],
    margin: float,
    seed: int,
    draws: int = DRAWS,
) -> pd.DataFrame:
    """equivalence() to the base of every run, variant, benchmark and domain.

    One row (RETENTION_COLUMNS) each; `low_90` and `high_90` are the bounds of the
    equivalence test. `recipe` is what the arm's intervention puts for the updates, as
    `arms` has it. Items that were gained and lost are counted within one run: with
    several runs those columns are missing. Of a domain all items count alike there,
    while its difference is the mean over benchmarks.
    """
    rows = []
    for cell in cells(items):
        if cell.key["run"] != BASE:
            rows += _retention_rows(cell, arms, margin, cell.sample(seed, draws))
    table = pd.DataFrame(rows, columns=RETENTION_COLUMNS)
    return table.sort_values(CELL_ORDER, ignore_index=True)


def _retention_rows(
    cell: Cell, arms: Mapping[str, str | None], margin: float, sample: Sample
) -> list[dict]:
    """One row for every variant of a cell but the base."""
    rows = []
    for index, variant in enumerate(cell.variants[1:], 1):
        found = equivalence(sample, index, 0, margin)
        row = {**cell.key, "variant": variant, "recipe": arms[cell.key["arm"]]}
        row |= found.difference.columns("difference")
        row |= {"low_90": found.estimate.low, "high_90": found.estimate.high}
        row |= {"margin": margin, "verdict": found.verdict, "rule": found.rule}
        if cell.key["runs"] == 1:
            scores = np.concatenate([stratum[0] for stratum in cell.strata], axis=1)
            change = benefit_and_damage(scores[0], scores[index])
            row |= change.gained.columns("gained", "gained_")
            row |= change.lost.columns("lost", "lost_") | {"p": change.p}
        rows.append(row)
    return rows
