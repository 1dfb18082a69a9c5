"""Whether answers are right: the reward, the probes, the samples and the benchmarks.

Every problem names its verifier, so that a reward and a score of 1 mean the same thing.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from rankone.registry import Registry


@dataclass(frozen=True)
class Verifier:
    """One way to tell right answers from wrong ones.

    `correct(completions, answers)` says of each completion whether it gives the answer
    beside it. The same texts must always get the same verdict.
    """

    name: str
    correct: Callable[[Sequence[str], Sequence[str]], list[bool]]
    description: str
    order: int = 1000


VERIFIERS = Registry[Verifier]("The verifier", "rankone.data.verifiers")


def correct(completions: Sequence[str], problems: Sequence[dict]) -> list[bool]:
    """Whether each completion answers its problem.

    Each problem has an `answer` and the same `verifier`; UserError for an unknown one.
    """
    if not completions:
        return []
    (name,) = {problem["verifier"] for problem in problems}
    answers = [problem["answer"] for problem in problems]
    return VERIFIERS[name].correct(completions, answers)
