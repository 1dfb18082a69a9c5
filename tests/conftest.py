"""Tiers of tests by folder; torch has one thread in tests."""

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
TIERS = ("workflow", "cluster", "vllm", "browser", "gpu", "long")

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark every test with its tier: the marker it has, its folder's, else unit.

    Unit tests come last: short files fill what the long ones leave of the time.
    """
    for item in items:
        if not any(item.get_closest_marker(tier) for tier in TIERS):
            folder = item.path.relative_to(ROOT / "tests").parts[0]
            item.add_marker(folder if folder in TIERS else "unit")
    items.sort(key=lambda item: item.get_closest_marker("unit") is not None)
