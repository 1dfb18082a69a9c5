"""Answers that are integers, at the start of a completion."""

import re
from collections.abc import Sequence

from rankone.data.verifier import VERIFIERS, Verifier

INTEGER = re.compile(r"\s*(-?\d+)(?![\d.,]*\d)")


def leading_integer(completion: str) -> str | None:
    """The integer at the start of a completion, in canonical form, or None.

    Only the first line counts. "046" and " 46" both give "46"; "4.6" and "4,600" give
    None because they are not the integer 4.
    """
    match = INTEGER.match(completion.split("\n")[0])
    return str(int(match[1])) if match else None


def equal_integers(completions: Sequence[str], answers: Sequence[str]) -> list[bool]:
    """Whether each completion starts with exactly the integer of its answer."""
    pairs = zip(completions, answers, strict=True)
    return [leading_integer(completion) == answer for completion, answer in pairs]


VERIFIERS.add(
    Verifier(
        name="integer",
        correct=equal_integers,
        description="The first line starts with exactly the integer of the answer.",
        order=1,
    )
)
