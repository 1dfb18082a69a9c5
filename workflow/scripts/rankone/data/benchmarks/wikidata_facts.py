"""Facts of Wikidata, from BIG-bench: "The capital of X is", with four answers."""

import random
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rankone.data.benchmark import BENCHMARKS, Row
from rankone.data.multiple_choice import (
    bigbench,
    digest_order,
    make_item,
    targets,
    unique,
)

RELATION = re.compile(r"(The .*?\b(?:of|by|in|for)) .+ is")
MINIMUM_FACTS = 20  # per relation; rarer ones give too few answers to draw from
MINIMUM_ANSWERS = 5
FACTS_PER_RELATION = 30  # "The country of" alone is a third of all facts
OPTIONS = 4


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


BENCHMARKS.add(
    bigbench(
        task="qa_wikidata",
        name="wikidata_facts",
        domain="knowledge",
        examples=20442,
        items=1069,
        build=wikidata_facts,
        # The question is the start of a sentence that the answer completes.
        prompt="{{question}}",
        order=1,
    )
)
