"""Benchmarks with lm-eval: one loaded model, tasks loaded once, item-level scores."""

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from itertools import chain
from pathlib import Path

import pandas as pd
import torch
from lm_eval import evaluate
from lm_eval.api.model import LM
from lm_eval.api.task import Task
from lm_eval.models.huggingface import HFLM
from lm_eval.tasks import TaskManager
from tqdm import tqdm
from transformers import AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase

from rankone.compute import device, dtype
from rankone.errors import UserError
from rankone.models import load_model
from rankone.recipes import Recipe
from rankone.sharing import can_share, group_rows, pack, predicted
from rankone.study import TASKS, own_tasks
from rankone.substitution import sources, substituted

FEW_SHOT_SEED = 1234  # lm-eval's own default
TaskDict = dict[str, dict[str, Task]]


def load_tasks(names: list[str], folders: list[str], data: str | Path) -> TaskDict:
    """The lm-eval tasks of each benchmark: several where it names a group.

    `data` is the folder that Rankone's own tasks read. lm-eval's tasks are indexed only
    if a name needs them.
    """
    os.environ["RANKONE_DATA"] = str(Path(data).resolve())
    defaults = not set(names) <= own_tasks(folders)
    include = [str(TASKS), *folders]
    manager = TaskManager(include_path=include, include_defaults=defaults)
    benchmarks = {name: manager.load([name])["tasks"] for name in names}
    for tasks in benchmarks.values():
        for task in tasks.values():
            if task.get_config("num_fewshot") is None:
                task.set_config(key="num_fewshot", value=0)
            task.set_fewshot_seed(seed=FEW_SHOT_SEED)
    return benchmarks


class SharedContextLM(HFLM):
    """lm-eval's model, changed in speed alone: choices share their question.

    Where that is not possible, or a question is too long for the model, all is as in
    lm-eval.
    """

    def _loglikelihood_tokens(self, requests, disable_tqdm=False, override_bs=None):
        groups = group_rows([context for _, context, _ in requests])
        sizes = {
            c: len(c) + sum(len(requests[r][2]) for r in groups[c]) for c in groups
        }
        if not can_share(self.model) or max(sizes.values()) > self.max_length:
            return super()._loglikelihood_tokens(requests, disable_tqdm, override_bs)
        results: list = [None] * len(requests)
        progress = tqdm(total=len(requests), disable=disable_tqdm, desc="Choices")
        for batch in batches(
            sorted(groups, key=sizes.get), groups, int(self.batch_size)
        ):
            rows = [groups[context] for context in batch]
            choices = [[requests[row][2] for row in group] for group in rows]
            scores = self.score(list(map(list, batch)), choices)
            for row, score in zip(chain(*rows), scores, strict=True):
                results[row] = score
            progress.update(sum(map(len, rows)))
        return results

    @torch.no_grad()
    def score(self, contexts: list, choices: list) -> list[tuple[float, bool]]:
        """Log-likelihood of every choice, and whether it is the greedy continuation."""
        inputs = pack(contexts, choices, self.device)
        logits, targets = predicted(self.model, inputs)
        lengths = [len(choice) for group in choices for choice in group]
        found = logits.log_softmax(-1).gather(1, targets[:, None])[:, 0]
        best = logits.argmax(-1) == targets
        return [
            (values.sum().item(), bool(greedy.all()))
            for values, greedy in zip(
                found.split(lengths), best.split(lengths), strict=True
            )
        ]


def batches(contexts: list, groups: dict, size: int) -> Iterator[list]:
    """Contexts in order, in lists of about `size` continuations."""
    batch: list = []
    for context in contexts:
        if batch and sum(len(groups[c]) for c in [*batch, context]) > size:
            yield batch
            batch = []
        batch.append(context)
    if batch:
        yield batch


def open_model(
    model_folder: str, settings: dict, paths: tuple, recipes: list[Recipe | None]
) -> tuple[HFLM, Callable[[Recipe | None], AbstractContextManager]]:
    """lm-eval's model in this process, and the context in which it is a variant.

    `paths` are the base's weight files, a checkpoint and its factors (None for the base
    alone); `settings` has `evaluate`, `others`, `seed` and `trust_remote_code`.
    """
    options, trust = settings["evaluate"], settings["trust_remote_code"]
    model = load_model(model_folder, dtype(options["dtype"]), trust)
    model.to(device())
    tokenizer = AutoTokenizer.from_pretrained(model_folder, trust_remote_code=trust)
    place = (sources(*paths), settings["others"], settings["seed"])
    return (
        wrap(model, tokenizer, options["batch_size"]),
        lambda recipe: substituted(model, recipe, *place),
    )


def wrap(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, batch_size: int
) -> HFLM:
    """The model as lm-eval wants it."""
    return SharedContextLM(pretrained=model, tokenizer=tokenizer, batch_size=batch_size)


def first_items(tasks: dict[str, Task], items: int | None) -> dict[str, list[int]]:
    """Indices of the first so many items of each task; nothing for all of them."""
    if items is None:
        return {}
    return {n: list(range(min(items, len(t.eval_docs)))) for n, t in tasks.items()}


def item_rows(name: str, benchmark: dict, task: str, samples: list[dict]) -> list[dict]:
    """One row per item of one task of a benchmark from lm-eval's logged samples."""
    metric = benchmark["metric"]
    if samples and metric not in samples[0]:
        found = ", ".join(samples[0]["metrics"])
        raise UserError(f"benchmarks.{name}: no metric {metric!r}; it has {found}.")
    prefix = "" if task == name else f"{task}:"
    return [
        {
            "benchmark": name,
            "domain": benchmark["domain"],
            "metric": metric,
            "item": f"{prefix}{sample['doc'].get('id', sample['doc_id'])}",
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
    lm: LM, benchmarks: dict[str, dict], loaded: TaskDict
) -> pd.DataFrame:
    """Item-level scores of the model that `lm` holds now.

    `benchmarks` gives `domain`, `metric` and `items` (the first so many; null for all).
    All tasks go through the model together, so that batches are full. lm-eval's caches
    stay off: they do not know that the weights changed.
    """
    tasks, indices = {}, {}
    for name, benchmark in benchmarks.items():
        tasks |= loaded[name]
        indices |= first_items(loaded[name], benchmark["items"])
    result = evaluate(
        lm, {"tasks": tasks, "groups": {}}, samples=indices, bootstrap_iters=0
    )
    rows = [
        row
        for name, benchmark in benchmarks.items()
        for task in loaded[name]
        for row in item_rows(name, benchmark, task, result["samples"][task])
    ]
    return pd.DataFrame(rows)
