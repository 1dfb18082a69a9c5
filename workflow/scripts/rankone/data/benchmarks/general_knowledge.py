"""Everyday facts, from BIG-bench."""

from collections.abc import Mapping, Sequence
from typing import Any

from rankone.data.benchmark import BENCHMARKS, Row
from rankone.data.multiple_choice import bigbench, scored_items


def general_knowledge(examples: Sequence[Mapping[str, Any]], seed: int) -> list[Row]:
    """Everyday facts with 4 to 12 options."""
    return scored_items("general_knowledge", "general_knowledge", examples, seed)


BENCHMARKS.add(
    bigbench(
        task="general_knowledge",
        name="general_knowledge",
        domain="knowledge",
        examples=70,
        items=69,
        build=general_knowledge,
        order=2,
    )
)
