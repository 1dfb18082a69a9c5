"""Words that all stages share: runs, variants, benchmarks and modules."""

import re
from collections.abc import Iterable

HELD_OUT = "problems_held_out"
SHIFTED = "problems_shifted"
KNOWLEDGE = "knowledge"
MATHEMATICS = "mathematics"
MODULES = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
RUN = re.compile(r"(.+)-seed\d+")


def arm_of(run: str) -> str:
    """The arm of a run; a name of another form is an arm by itself."""
    match = RUN.fullmatch(run)
    return match[1] if match else run


BASE = "base"
FULL = "full"
ALL_RUNS = "all"
MEAN = "mean"
GAIN_DOMAIN = "mathematics"
TRAIN_PROBE = "problems_train_probe"
# When a step is measured: once, or before and after the substitution there.
MOMENT_ORDER = {"before": 0, "step": 0, "after": 1}


def groups_of_runs(runs: Iterable[str]) -> list[tuple[str, list[str]]]:
    """Labels and members of groups of an arm's runs: each alone, then all as `all`."""
    runs = sorted(runs)
    return [*((run, [run]) for run in runs), (ALL_RUNS, runs)]
