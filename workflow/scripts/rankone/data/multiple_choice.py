"""Multiple-choice items from the data inside two published package files.

Sources: BIG-bench (package `bigbench`, Apache-2.0; its authors ask that their canary
string travels with the data and that nobody trains on it, so every row carries it) and
MMLU questions (package `evals`, MIT; Hendrycks et al., 2021).

Rows have `id`, `question`, `choices`, `label` (index of the key), `source`, and
`canary` where the data has one. Ids, option order and distractors depend on the
question and the seed only, so a limit changes how many items there are and not which.
"""

import hashlib
import json
import random
import re
import tarfile
import zipfile
import zlib
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rankone.errors import UserError

Row = dict[str, Any]
BIGBENCH = "bigbench-1.0.0/bigbench/benchmark_tasks/{}/task.json"
MMLU = "evals/registry/data/sandbagging/samples-{}.jsonl"
RELATION = re.compile(r"(The .*?\b(?:of|by|in|for)) .+ is")
MINIMUM_FACTS = 20  # per relation; rarer ones give too few answers to draw from
MINIMUM_ANSWERS = 5
FACTS_PER_RELATION = 30  # "The country of" alone is a third of all facts
OPTIONS = 4
OPTION_MARK = re.compile(r"\(([A-E])\)")
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


def read_members(archive: str | Path, names: Iterable[str]) -> dict[str, bytes]:
    """Bytes of the named members of a .tar.gz or .whl/.zip, nothing else unpacked.

    A .tar.gz is streamed once and left as soon as everything is found. Raises UserError
    for a missing member or an archive that is cut short.
    """
    wanted = set(names)
    try:
        if zipfile.is_zipfile(archive):
            with zipfile.ZipFile(archive) as file:
                found = {n: file.read(n) for n in wanted & set(file.namelist())}
        else:
            found = stream_members(archive, wanted)
    except (tarfile.TarError, zipfile.BadZipFile, zlib.error, EOFError) as error:
        raise UserError(
            f"{archive} cannot be read ({error}): delete it and fetch it again."
        ) from error
    if missing := wanted - found.keys():
        raise UserError(
            f"{archive} does not contain {', '.join(sorted(missing))}: "
            "it is another release, or another package, than the expected one."
        )
    return found


def stream_members(archive: str | Path, wanted: set[str]) -> dict[str, bytes]:
    """Those wanted members of a .tar.gz that are there."""
    found: dict[str, bytes] = {}
    with tarfile.open(archive, "r|gz") as file:
        for member in file:
            if member.name in wanted and (data := file.extractfile(member)):
                found[member.name] = data.read()
                if len(found) == len(wanted):
                    break
    return found


def expect(count: int, expected: int, what: str) -> None:
    """Raise UserError if a count is not the known one of the pinned release."""
    if count != expected:
        raise UserError(
            f"Found {count} {what}, expected {expected}: the source data are not "
            "the pinned release, or its format is read wrongly."
        )


def digest_order(rows: Iterable[Row], seed: int) -> list[Row]:
    """Rows in a random order that does not depend on which other rows there are."""
    return sorted(
        rows, key=lambda row: hashlib.sha256(f"{seed}:{row['id']}".encode()).digest()
    )


def make_item(
    name: str, question: str, key: str, wrong: Sequence[str], source: str, seed: int
) -> Row | None:
    """One item with its options shuffled, or None without two distinct options.

    Empty wrong options, and those equal to another option but for case, are dropped.
    """
    options = {}
    for option in (key, *wrong):
        if option.strip():
            options.setdefault(option.strip().casefold(), option.strip())
    if not question.strip() or not key.strip() or len(options) < 2:
        return None
    question, key, choices = question.strip(), key.strip(), list(options.values())
    random.Random(f"{seed}:{name}:{question}").shuffle(choices)
    identity = hashlib.sha256(f"{question}\n{key}".encode()).hexdigest()[:12]
    return {
        "id": f"{name}-{identity}",
        "question": question,
        "choices": choices,
        "label": choices.index(key),
        "source": source,
    }


def check_items(name: str, rows: Sequence[Row]) -> None:
    """Raise UserError unless ids are unique and every item has a key among its
    distinct, non-empty options."""
    ids = Counter(row["id"] for row in rows)
    if repeated := [i for i, count in ids.items() if count > 1]:
        raise UserError(f"{name} has the same id twice: {repeated[0]}.")
    for row in rows:
        folded = [choice.casefold() for choice in row["choices"]]
        sound = len(folded) >= 2 and all(folded) and len(set(folded)) == len(folded)
        if not sound or not 0 <= row["label"] < len(folded):
            raise UserError(f"{name} has an unusable item {row['id']}: {row}.")


def unique(rows: Iterable[Row | None]) -> list[Row]:
    """Rows without the Nones and without a second row of the same id."""
    found: dict[str, Row] = {}
    for row in rows:
        if row:
            found.setdefault(row["id"], row)
    return list(found.values())


def targets(example: Mapping[str, Any]) -> list[str]:
    """Accepted answers of a BIG-bench example: a string or a list of strings."""
    answer = example["target"]
    return [x.strip() for x in ([answer] if isinstance(answer, str) else answer)]


def contains_either_way(a: str, b: str) -> bool:
    """Whether one text contains the other, case aside."""
    a, b = a.casefold(), b.casefold()
    return a in b or b in a


def facts_by_relation(
    examples: Iterable[Mapping[str, Any]],
) -> dict[str, dict[str, list[str]]]:
    """{relation: {prompt: accepted answers}} of prompts such as "The capital of X is".

    A prompt that occurs twice keeps the answers of both.
    """
    relations: dict[str, dict[str, list[str]]] = defaultdict(dict)
    for example in examples:
        prompt = example["input"].strip()
        if match := RELATION.fullmatch(prompt):
            answers = relations[match[1]].setdefault(prompt, [])
            answers += [x for x in targets(example) if x and x not in answers]
    return relations


def draw_distractors(
    accepted: Sequence[str], frequency: Mapping[str, int], rng: random.Random
) -> list[str]:
    """Three other answers of the relation, drawn by how frequent they are.

    Uniform draws would let a model score by preferring the common answer. Answers that
    contain an accepted one, or an already drawn one, or the reverse ("Islam" and "Sunni
    Islam"), are left out because both could be right.
    """
    drawn: list[str] = []
    while len(drawn) < OPTIONS - 1:
        taken = [*accepted, *drawn]
        pool = [
            x for x in frequency if not any(contains_either_way(x, y) for y in taken)
        ]
        if not pool:
            break
        drawn += rng.choices(pool, [frequency[x] for x in pool])
    return drawn


def relation_items(relation: str, facts: Mapping[str, list[str]], seed: int) -> list:
    """Items of one relation, or none if it is too small or has too few answers."""
    frequency = Counter(answers[0] for answers in facts.values() if answers)
    if len(facts) < MINIMUM_FACTS or len(frequency) < MINIMUM_ANSWERS:
        return []
    rows = []
    for prompt, accepted in facts.items():
        # A prompt that quotes its answer tests copying, not knowledge.
        if not accepted or any(x.casefold() in prompt.casefold() for x in accepted):
            continue
        rng = random.Random(f"{seed}:{prompt}")
        wrong = draw_distractors(accepted, frequency, rng)
        if len(wrong) == OPTIONS - 1:
            source = f"bigbench:qa_wikidata/{relation}"
            rows.append(
                make_item("wikidata_facts", prompt, accepted[0], wrong, source, seed)
            )
    return digest_order(unique(rows), seed)[:FACTS_PER_RELATION]


def wikidata_facts(examples: Sequence[Mapping[str, Any]], seed: int) -> list[Row]:
    """Four-way items from factual prompts, at most 30 of a relation."""
    relations = facts_by_relation(examples)
    rows = [
        row
        for relation, facts in relations.items()
        for row in relation_items(relation, facts, seed)
    ]
    return unique(rows)


def scored_items(
    name: str, task: str, examples: Iterable[Mapping[str, Any]], seed: int
) -> list[Row]:
    """Items of a BIG-bench multiple-choice task; those with several keys are left out.

    A question that occurs twice is kept once.
    """
    rows = {}
    for example in examples:
        scores = example["target_scores"]
        keys = [x for x, score in scores.items() if score == max(scores.values())]
        if len(keys) == 1:
            wrong = [x for x in scores if x != keys[0]]
            question = example["input"].strip()
            row = make_item(name, question, keys[0], wrong, f"bigbench:{task}", seed)
            rows.setdefault(question, row)
    return unique(rows.values())


def general_knowledge(examples: Sequence[Mapping[str, Any]], seed: int) -> list[Row]:
    """Everyday facts with 4 to 12 options."""
    return scored_items("general_knowledge", "general_knowledge", examples, seed)


def unit_conversion(examples: Sequence[Mapping[str, Any]], seed: int) -> list[Row]:
    """Conversions between metric prefixes, five options."""
    task = "unit_conversion/si_conversion"
    return scored_items("unit_conversion", task, examples, seed)


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


@dataclass(frozen=True)
class Benchmark:
    """Where a benchmark comes from, and what the pinned release must give.

    `examples` counts the source's examples, `items` the clean items made from them.
    """

    name: str
    domain: str
    package: str
    members: tuple[str, ...]
    examples: int
    items: int
    build: Callable[[Sequence[Mapping[str, Any]], int], list[Row]]


def bigbench(domain: str, task: str, examples: int, items: int, build) -> Benchmark:
    """A benchmark made from one BIG-bench task."""
    members = (BIGBENCH.format(task),)
    return Benchmark(
        build.__name__, domain, "bigbench", members, examples, items, build
    )


SCIENCE = "natural_instructions/subtask047_misc_answering_science_questions"
BENCHMARKS = {
    benchmark.name: benchmark
    for benchmark in (
        bigbench("knowledge", "qa_wikidata", 20442, 1069, wikidata_facts),
        bigbench("knowledge", "general_knowledge", 70, 69, general_knowledge),
        bigbench("knowledge", SCIENCE, 251, 201, science_questions),
        bigbench(
            "mathematics", "unit_conversion/si_conversion", 3000, 2992, unit_conversion
        ),
        Benchmark(
            name="mmlu_sample",
            domain="knowledge",
            package="evals",
            members=tuple(
                MMLU.format(part) for part in ("all", "all-large", "non-ast", "ast")
            ),
            examples=1331,
            items=884,
            build=mmlu_sample,
        ),
    )
}


def parse_examples(benchmark: Benchmark, members: Mapping[str, bytes]) -> list[Row]:
    """Examples of a benchmark's source; BIG-bench examples carry the canary string."""
    texts = [members[name].decode() for name in benchmark.members]
    if benchmark.package == "evals":
        lines = (line for text in texts for line in text.splitlines())
        return distinct_questions(map(json.loads, lines))
    (task,) = map(json.loads, texts)
    return [{**example, "canary": task["canary"]} for example in task["examples"]]


def build_benchmark(
    benchmark: Benchmark, members: Mapping[str, bytes], seed: int, limit: int | None
) -> list[Row]:
    """Checked items in random order, at most `limit`; the first of a file are a sample.

    Raises UserError if the source or its items are not as many as the pinned release
    has.
    """
    name = benchmark.name
    examples = parse_examples(benchmark, members)
    expect(len(examples), benchmark.examples, f"examples for {name}")
    rows = benchmark.build(examples, seed)
    check_items(name, rows)
    expect(len(rows), benchmark.items, f"items of {name}")
    canary = {"canary": examples[0]["canary"]} if "canary" in examples[0] else {}
    return [{**row, **canary} for row in digest_order(rows, seed)[:limit]]
