"""Conversions between metric prefixes, from BIG-bench."""

from collections.abc import Mapping, Sequence
from typing import Any

from rankone.data.benchmark import BENCHMARKS, Row
from rankone.data.multiple_choice import bigbench, scored_items


def unit_conversion(examples: Sequence[Mapping[str, Any]], seed: int) -> list[Row]:
    """Conversions between metric prefixes, five options."""
    task = "unit_conversion/si_conversion"
    return scored_items("unit_conversion", task, examples, seed)


BENCHMARKS.add(
    bigbench(
        task="unit_conversion/si_conversion",
        name="unit_conversion",
        domain="mathematics",
        examples=3000,
        items=2992,
        build=unit_conversion,
        # The question is the start of a sentence that the answer completes.
        prompt="{{question}}",
        order=4,
    )
)
