"""Whether answers are right: the reward, the probes, the samples and the benchmarks.

Every problem names its verifier, so that a reward and a score of 1 mean the same thing.
"""

from collections.abc import Sequence

from rankone.data.verifiers.integer import equal_integers
from rankone.data.verifiers.math import equal_boxed


def correct(completions: Sequence[str], problems: Sequence[dict]) -> list[bool]:
    """Whether each completion answers its problem.

    Each problem has an `answer` and the same `verifier`: `integer` or `math`.
    """
    if not completions:
        return []
    (name,) = {problem["verifier"] for problem in problems}
    return VERIFIERS[name](completions, [problem["answer"] for problem in problems])


VERIFIERS = {"integer": equal_integers, "math": equal_boxed}
