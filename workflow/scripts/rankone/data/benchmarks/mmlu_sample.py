"""Factual questions of MMLU (Hendrycks et al., 2021) in the package `evals` (MIT)."""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rankone.data.benchmark import BENCHMARKS, PackagedBenchmark, Row
from rankone.data.multiple_choice import make_item, unique
from rankone.data.package_index import PackageFile
from rankone.errors import UserError

EVALS = PackageFile(
    name="evals",
    version="3.0.1.post1",
    kind="wheel",
    filename="evals-3.0.1.post1-py3-none-any.whl",
    sha256="0abcb2051303500784b1641a6e4f6b813ed43ad64f879a37d344a6774eb8eb78",
)
MMLU = "evals/registry/data/sandbagging/samples-{}.jsonl"
MMLU_ITEM = re.compile(r"(.*?)\nA\. (.*)\nB\. (.*)\nC\. (.*)\nD\. (.*)\nAnswer:", re.S)
# Longer questions are reading passages (law, history) or moral scenarios, and they
# would be over half of the tokens of the whole evaluation.
MMLU_LENGTH = 400
MATH_TOPICS = {
    "abstract algebra",
    "college mathematics",
    "econometrics",
    "elementary mathematics",
    "formal logic",
    "high school mathematics",
    "high school statistics",
}
FORMULA = re.compile(r"\\|\$.*\$|[=^∀∃⊃≡]|\bpredicate logic\b|\bpropositional logic\b")
STATEMENTS = re.compile(r"^(I|II|III|IV)\b|^(True|False|Wrong|Not wrong), ")


def is_quantity(text: str) -> bool:
    """Whether an option is a number, a formula or a value with a short unit."""
    letters = re.sub(r"[^A-Za-z]", "", text)
    return bool(re.search(r"\d", text)) and len(letters) <= 4


def is_factual(question: str, options: Sequence[str], topic: str | None) -> bool:
    """Whether an MMLU item asks for a fact rather than a calculation or a form.

    Out: mathematical topics, formulas, mostly numerical options, options that only
    point at statements in the question, and long passages.
    """
    texts = (question, *options)
    return not (
        topic in MATH_TOPICS
        or len(question) > MMLU_LENGTH
        or any(FORMULA.search(text) for text in texts)
        or sum(is_quantity(option) for option in options) >= 3
        or sum(bool(STATEMENTS.match(option)) for option in options) >= 2
    )


def distinct_questions(examples: Iterable[Mapping[str, Any]]) -> list[Row]:
    """MMLU rows with one row a question; a topic given in any copy is kept."""
    rows: dict[str, Row] = {}
    for example in examples:
        text = re.sub(r"\s+", " ", example["question"])
        row = rows.setdefault(text, {"topic": None, **example})
        row["topic"] = row["topic"] or example.get("topic")
    return list(rows.values())


def parse(texts: Sequence[str]) -> list[Row]:
    """Rows of the files, one a question."""
    lines = (line for text in texts for line in text.splitlines())
    return distinct_questions(map(json.loads, lines))


def mmlu_sample(examples: Sequence[Mapping[str, Any]], seed: int) -> list[Row]:
    """Factual MMLU questions, four options."""
    rows = []
    for example in examples:
        match = MMLU_ITEM.fullmatch(example["question"])
        if match is None or example["answer"] not in list("ABCD"):
            raise UserError(f"An MMLU question has an unknown form: {example}.")
        question, *options = (part.strip() for part in match.groups())
        if is_factual(question, options, example["topic"]):
            key = options.pop("ABCD".index(example["answer"]))
            source = f"mmlu:{example['topic'] or 'unknown topic'}"
            rows.append(make_item("mmlu_sample", question, key, options, source, seed))
    return unique(rows)


BENCHMARKS.add(
    PackagedBenchmark(
        name="mmlu_sample",
        domain="knowledge",
        package=EVALS,
        members=tuple(
            MMLU.format(part) for part in ("all", "all-large", "non-ast", "ast")
        ),
        parse=parse,
        examples=1331,
        items=884,
        build=mmlu_sample,
        order=5,
    )
)
