"""Answers in LaTeX, compared by math-verify in processes that can be ended."""

import logging
import os
import signal
from collections.abc import Sequence
from concurrent.futures import TimeoutError
from functools import cache
from multiprocessing import get_context
from typing import TYPE_CHECKING

from rankone.data.verifier import VERIFIERS, Verifier

if TYPE_CHECKING:
    from pebble import ProcessPool

# An answer that takes longer to compare is wrong: some are towers of powers.
SECONDS = 10


def equal_boxed(completions: Sequence[str], answers: Sequence[str]) -> list[bool]:
    """Whether what each completion boxes is mathematically its answer."""
    found = pool().map(is_equal_boxed, completions, answers, timeout=SECONDS).result()
    return [next_result(found) for _ in completions]


def next_result(results) -> bool:
    """The next of a pool's results; False where time or memory ran out."""
    from pebble import ProcessExpired

    try:
        return next(results)
    except (TimeoutError, ProcessExpired):
        return False


@cache
def pool() -> "ProcessPool":
    """Processes for math-verify, ended when an answer takes too long.

    Its own timeouts are signals: they need the main thread, and they do not reach a
    computation inside C. A job that is told to end by SIGTERM finishes its step first,
    so the processes ignore it.
    """
    from pebble import ProcessPool

    logging.getLogger("math_verify").setLevel(logging.ERROR)
    # Its first comparison loads libraries and grammars: once, before the fork.
    is_equal_boxed(r"\boxed{x^2 + 2x + 1}", "(x + 1)^2")
    return ProcessPool(
        max_workers=len(os.sched_getaffinity(0)),
        initializer=signal.signal,
        initargs=(signal.SIGTERM, signal.SIG_IGN),
        context=get_context("fork"),
    )


def is_equal_boxed(completion: str, answer: str) -> bool:
    """Whether what a completion boxes equals an answer in LaTeX.

    An answer that it names as final in another way counts too; several boxes count as
    one answer of several parts.
    """
    from math_verify import LatexExtractionConfig, parse, verify

    boxed = LatexExtractionConfig(
        boxed_match_priority=0, try_extract_without_anchor=False
    )
    found = parse(
        completion,
        extraction_config=[boxed],
        extraction_mode="first_match",
        parsing_timeout=None,
    )
    expected = parse(f"\\boxed{{{answer}}}", [boxed], parsing_timeout=None)
    return verify(expected, found, timeout_seconds=None)


VERIFIERS.add(
    Verifier(
        name="math",
        correct=equal_boxed,
        description="What is boxed, or named as final, is mathematically the answer.",
        order=2,
    )
)
