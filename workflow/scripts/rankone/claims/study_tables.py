"""What claims are tested on: the tables of a study, and item scores at its end."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import pandas as pd

from rankone.analysis.scores import cells
from rankone.names import ALL_RUNS, BASE, HELD_OUT, KNOWLEDGE, MATHEMATICS, MEAN, arm_of
from rankone.statistics.decision_rules import EquivalenceTest
from rankone.statistics.equivalence import equivalence
from rankone.statistics.intervals import Estimate, Sample, paired_difference

Cell = tuple[str, str]  # domain and benchmark
HELD_OUT_CELL: Cell = (MATHEMATICS, HELD_OUT)
KNOWLEDGE_CELL: Cell = (KNOWLEDGE, MEAN)


@dataclass(frozen=True)
class Scores:
    """Resampled scores of one benchmark for the base and all variants."""

    sample: Sample
    variants: list[str]
    n: int

    def has(self, *names: str) -> bool:
        """Whether all of these were evaluated."""
        return set(names) <= set(self.variants)

    def mean(self, name: str) -> float:
        """Mean score of a variant."""
        return float(self.sample.observed[self.variants.index(name)])

    def difference(self, name: str, reference: str) -> Estimate:
        """Paired difference with its 95 % interval."""
        places = map(self.variants.index, (name, reference))
        return paired_difference(self.sample, *places)

    def kept(self, name: str, reference: str, margin: float) -> EquivalenceTest:
        """Paired difference with both intervals."""
        places = map(self.variants.index, (name, reference))
        found = equivalence(self.sample, *places, margin)
        return EquivalenceTest(name, found.difference, found.estimate)


@dataclass(frozen=True)
class StudyTables:
    """The tables of a study by name, and scores by domain and benchmark.

    `last_scores` are those of all runs of the first arm at its last step. `code` says
    of runs that were not made by the code that is there now how they were made.
    """

    tables: Mapping[str, pd.DataFrame] = field(default_factory=dict)
    last_scores: Mapping[Cell, Scores] = field(default_factory=dict)
    code: Mapping[str, str] = field(default_factory=dict)

    def of_arm(self, arm: str) -> "StudyTables":
        """The same with the rows of one arm alone."""
        rows = {name: t[t["arm"] == arm] for name, t in self.tables.items()}
        code = {run: how for run, how in self.code.items() if arm_of(run) == arm}
        return replace(self, tables=rows, code=code)


def last_scores(
    items: pd.DataFrame, arm: str, seed: int, draws: int
) -> dict[Cell, Scores]:
    """The scores of all runs of an arm at its last step, by domain and benchmark."""
    of_arm = items["run"].map(arm_of) == arm
    last = items.loc[of_arm, "step"].max()
    own = items[(items["variant"] == BASE) | (of_arm & (items["step"] == last))]
    return {
        (cell.key["domain"], cell.key["benchmark"]): Scores(
            cell.sample(seed, draws), cell.variants, cell.key["n"]
        )
        for cell in cells(own)
        if cell.key["run"] == ALL_RUNS
    }
