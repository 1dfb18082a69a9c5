"""Science questions of primary schools, from BIG-bench."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from rankone.data.benchmark import BENCHMARKS, Row
from rankone.data.multiple_choice import bigbench, make_item, targets, unique

OPTION_MARK = re.compile(r"\(([A-E])\)")


def lettered_options(text: str) -> tuple[str, list[str]] | None:
    """Question and options of "Question: .. (A) .. (B) .. (C) ..", or None."""
    question, *rest = OPTION_MARK.split(text.removeprefix("Question:"))
    letters, options = rest[::2], [option.strip() for option in rest[1::2]]
    if len(options) < 2 or letters != list("ABCDE"[: len(options)]):
        return None
    return question.strip(), options


def science_item(example: Mapping[str, Any], seed: int) -> Row | None:
    """One science question.

    The source wrote "?" over the last character of every text ("(D) Heliu?"). Where all
    other options end in a full stop that character was one too; elsewhere the last
    option has lost a letter, so it is dropped, and the question with it if it is the
    key.
    """
    parsed = lettered_options(example["input"].strip())
    if parsed is None:
        return None
    question, options = parsed
    if not all(option.endswith(".") for option in options[:-1]):
        options = options[:-1]
    answer = "".join(targets(example)).strip(" .")
    position = "ABCDE".find(answer) if len(answer) == 1 else -1
    if not 0 <= position < len(options):
        return None
    options = [option.rstrip(" .?") for option in options]
    key = options.pop(position)
    source = "bigbench:natural_instructions/subtask047"
    return make_item("science_questions", question, key, options, source, seed)


def science_questions(examples: Sequence[Mapping[str, Any]], seed: int) -> list[Row]:
    """Primary-school science questions with three or four options."""
    return unique(science_item(example, seed) for example in examples)


BENCHMARKS.add(
    bigbench(
        task="natural_instructions/subtask047_misc_answering_science_questions",
        name="science_questions",
        domain="knowledge",
        examples=251,
        items=201,
        build=science_questions,
        order=3,
    )
)
