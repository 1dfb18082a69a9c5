"""Shorten a study to two steps and a few items: the same stages in a few minutes."""

import sys
from pathlib import Path

import yaml


def shorten(config: dict) -> dict:
    """Two runs of two steps, four variants, eight items a benchmark."""
    prs = {"seeds": [0], "intervention": {"period": 1, "recipe": "rank1"}}
    benchmarks = {
        task: benchmark | {"items": 8}
        for task, benchmark in config["benchmarks"].items()
    }
    return config | {
        "study": f"{config['study']}, two steps",
        "arms": {"full": {"seeds": [0]}, "prs": prs},
        "probes": {"problems": 4, "samples": 1},
        "schedule": {"max_steps": 2, "export_steps": [1, 2], "save_steps": 1},
        "variants": ["full", "rank1", "without_rank1", "random_rank1"],
        "benchmarks": benchmarks,
        "sample": {"problems": 4, "samples": 4, "kl_samples": 1, "variants": ["full"]},
        "analyze": {"fit_draws": 0, "null_draws": 20},
    }


if __name__ == "__main__":
    source, target = map(Path, sys.argv[1:])
    target.write_text(yaml.safe_dump(shorten(yaml.safe_load(source.read_text()))))
