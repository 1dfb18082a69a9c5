"""Benchmarks with lm-eval: one loaded model, item-level scores."""

import logging
import os
from pathlib import Path

import pandas as pd
from lm_eval import simple_evaluate
from lm_eval.models.huggingface import HFLM
from lm_eval.tasks import TaskManager
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from rankone.errors import UserError
from rankone.study import TASKS, own_tasks

logger = logging.getLogger(__name__)


def find_tasks(names: list[str], folders: list[str]) -> TaskManager:
    """lm-eval's index of tasks, with its own tasks only if a name needs them."""
    defaults = not set(names) <= own_tasks(folders)
    return TaskManager(include_path=[str(TASKS), *folders], include_defaults=defaults)


def wrap(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, batch_size: int
) -> HFLM:
    """The model as lm-eval wants it."""
    return HFLM(pretrained=model, tokenizer=tokenizer, batch_size=batch_size)


def item_rows(name: str, benchmark: dict, samples: list[dict]) -> list[dict]:
    """One row per item of a benchmark from lm-eval's logged samples."""
    metric = benchmark["metric"]
    if samples and metric not in samples[0]:
        found = ", ".join(samples[0]["metrics"])
        raise UserError(f"benchmarks.{name}: no metric {metric!r}; it has {found}.")
    return [
        {
            "benchmark": name,
            "domain": benchmark["domain"],
            "metric": metric,
            "item": str(sample["doc"].get("id", sample["doc_id"])),
            "score": float(sample[metric]),
            "response": text_response(sample["filtered_resps"]),
        }
        for sample in sorted(samples, key=lambda sample: sample["doc_id"])
        if sample["filter"] == samples[0]["filter"]
    ]


def text_response(responses: list) -> str | None:
    """The first response if it is text (multiple choice has log-likelihoods)."""
    return responses[0] if responses and isinstance(responses[0], str) else None


def run_benchmarks(
    lm: HFLM, benchmarks: dict[str, dict], manager: TaskManager, data: str | Path
) -> pd.DataFrame:
    """Item-level scores of the model that `lm` holds now.

    `benchmarks` maps a task to `domain`, `metric` and `items` (the first so many; null
    for all). lm-eval's caches stay off: they do not know that the weights changed.
    """
    os.environ["RANKONE_DATA"] = str(Path(data).resolve())
    rows = []
    for name, benchmark in benchmarks.items():
        result = simple_evaluate(
            model=lm,
            tasks=[name],
            task_manager=manager,
            limit=benchmark["items"],
            bootstrap_iters=0,
            cache_requests=False,
        )
        rows += item_rows(name, benchmark, result["samples"][name])
    return pd.DataFrame(rows)
