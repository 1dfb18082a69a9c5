"""Benchmarks with lm-eval: one loaded model, tasks loaded once, item-level scores."""

import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from functools import cache
from itertools import chain
from pathlib import Path

import datasets
import pandas as pd
import torch
import yaml
from lm_eval import evaluate
from lm_eval.api.model import LM
from lm_eval.api.task import Task
from lm_eval.models.huggingface import HFLM
from lm_eval.tasks import TaskManager
from tqdm import tqdm
from transformers import AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase

from rankone.errors import UserError
from rankone.evaluation.settings import Benchmark, EvaluationSettings
from rankone.evaluation.tasks import lm_eval_folder, write_own_tasks
from rankone.inference.prefix_sharing import can_share, group_rows, pack, predicted
from rankone.runtime.device import device, dtype
from rankone.variants.grammar import Recipe
from rankone.variants.in_place import StepWeights, substituted
from rankone.weights.base_model import load_model

FEW_SHOT_SEED = 1234  # lm-eval's own default
TaskDict = dict[str, dict[str, Task]]


@cache
def scratch() -> tempfile.TemporaryDirectory:
    """A folder for files of tasks and caches of data; removed at the end of the job."""
    return tempfile.TemporaryDirectory(prefix="rankone-")


def isolate_data(data: str | Path) -> None:
    """Let tasks of this process read `data`, and leave nothing in the user's caches.

    Process-wide, as neither lm-eval nor datasets takes it as an argument: Rankone's own
    tasks read the folder $RANKONE_DATA, and datasets caches under a module's constant.
    """
    os.environ["RANKONE_DATA"] = str(Path(data).resolve())
    datasets.config.HF_DATASETS_CACHE = Path(scratch().name, "cache")


def load_tasks(
    benchmarks: dict[str, Benchmark], folders: list[str], data: str | Path
) -> TaskDict:
    """The lm-eval tasks of each benchmark: several where it names a group.

    `data` has what Rankone's own tasks read, and in `hub/` the data sets of lm-eval's
    tasks. A benchmark may give `hub`, `shots` and `generation`; see config/README.md.
    Nothing is read from the hub or left in the user's cache. Raises UserError for a
    task that cannot be loaded.
    """
    isolate_data(data)
    manager = task_manager(benchmarks, folders, data)
    loaded = {}
    for name, benchmark in benchmarks.items():
        try:
            loaded[name] = manager.load([own_group(name) if benchmark.hub else name])
        except (KeyError, ValueError, OSError, AssertionError, ImportError) as error:
            raise UserError(
                f"benchmarks.{name}: lm-eval cannot load it"
                + (f" from {benchmark.hub}" if benchmark.hub else "")
                + f": {error}. Its own name, `hub` and `revision` must fit together "
                "(`lm-eval ls tasks`)."
            ) from error
        for task in loaded[name]["tasks"].values():
            set_up_task(name, task, benchmark)
    return {name: found["tasks"] for name, found in loaded.items()}


def task_manager(
    benchmarks: dict[str, Benchmark], folders: list[str], data: str | Path
) -> TaskManager:
    """An index of the folders that the benchmarks need.

    All of lm-eval's tasks, whose indexing takes a minute, only if one is in no folder
    that its name leads to. A benchmark with data of the hub has a group of its own.
    """
    outside = {name: b.hub for name, b in benchmarks.items() if b.hub}
    theirs = {lm_eval_folder(name) for name in outside}
    defaults = None in theirs
    own = write_own_tasks(Path(scratch().name, "own"))
    include = [*map(str, theirs - {None}), str(own), *folders]
    manager = TaskManager(include_path=include, include_defaults=defaults)
    if not outside:
        return manager
    groups = Path(scratch().name, "groups")
    groups.mkdir(exist_ok=True)
    for name, hub in outside.items():
        if name not in manager.all_tasks:
            raise UserError(f"benchmarks.{name}: lm-eval has no such task.")
        kind = "group" if name in manager.all_groups else "task"
        place = str(Path(data, "hub", "datasets", hub).resolve())
        group = {
            "group": own_group(name),
            "task": [{kind: name, "dataset_path": place}],
        }
        Path(groups, f"{name}.yaml").write_text(yaml.safe_dump(group))
    include.append(str(groups))
    return TaskManager(include_path=include, include_defaults=defaults)


def own_group(name: str) -> str:
    """The group of one that gives a task of lm-eval its downloaded data.

    (As a dict, lm-eval would give the group's `task` to the tasks of a group inside.)
    """
    return f"rankone_{name}"


def set_up_task(name: str, task: Task, benchmark: Benchmark) -> None:
    """Apply a benchmark's settings to one of its tasks; UserError for its metric."""
    metric = benchmark.metric.partition(",")[0]
    if metric not in task.aggregation():
        raise UserError(
            f"benchmarks.{name}: no metric {metric!r}; {task.config.task} has "
            f"{', '.join(task.aggregation())}."
        )
    shots = benchmark.shots
    if shots is not None or task.get_config("num_fewshot") is None:
        task.set_config(key="num_fewshot", value=shots or 0)
    if task.OUTPUT_TYPE == "generate_until":
        limits = benchmark.generation
        task.set_config(key="generation_kwargs", value=limits, update=True)
    task.set_fewshot_seed(seed=FEW_SHOT_SEED)


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
    model_folder: str,
    settings: EvaluationSettings,
    weights: StepWeights,
    recipes: list[Recipe | None],
) -> tuple[HFLM, Callable[[Recipe | None], AbstractContextManager]]:
    """lm-eval's model in this process, and the context in which it is a variant."""
    options, trust = settings.evaluate, settings.trust_remote_code
    model = load_model(model_folder, dtype(options.dtype), trust)
    model.to(device())
    tokenizer = AutoTokenizer.from_pretrained(model_folder, trust_remote_code=trust)
    place = (weights, settings.others, settings.seed)
    return (
        wrap(model, tokenizer, options.batch_size),
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


def item_rows(
    name: str, benchmark: Benchmark, task: str, samples: list[dict]
) -> list[dict]:
    """One row per item of one task of a benchmark from lm-eval's logged samples.

    The benchmark's `metric` may name a filter, as in `exact_match,flexible-extract`;
    else the task's first one counts.
    """
    metric, _, kept = benchmark.metric.partition(",")
    filters = list(dict.fromkeys(sample["filter"] for sample in samples))
    if kept and kept not in filters:
        raise UserError(
            f"benchmarks.{name}: no filter {kept!r}; it has {', '.join(filters)}."
        )
    prefix = "" if task == name else f"{task}:"
    return [
        {
            "benchmark": name,
            "domain": benchmark.domain,
            "metric": metric,
            "item": f"{prefix}{sample['doc'].get('id', sample['doc_id'])}",
            "score": item_score(name, metric, sample[metric]),
            "response": text_response(sample["filtered_resps"]),
        }
        for sample in sorted(samples, key=lambda sample: sample["doc_id"])
        if sample["filter"] == (kept or filters[0])
    ]


def item_score(name: str, metric: str, value: object) -> float:
    """The score of an item; UserError where a metric gives several."""
    if not isinstance(value, bool | int | float):
        raise UserError(
            f"benchmarks.{name}: {metric} is {value!r} for an item, but one number is "
            "needed; choose a metric that scores items."
        )
    return float(value)


def text_response(responses: list) -> str | None:
    """The first response if it is text (multiple choice has log-likelihoods)."""
    return responses[0] if responses and isinstance(responses[0], str) else None


def run_benchmarks(
    lm: LM, benchmarks: dict[str, Benchmark], loaded: TaskDict
) -> pd.DataFrame:
    """Item-level scores of the model that `lm` holds now.

    Tasks go through the model together, so that batches are full: those with the
    model's chat template, and those without. lm-eval's caches stay off: they do not
    know that the weights changed.
    """
    samples: dict[str, list[dict]] = {}
    for chat in (False, True):
        chosen = {n: b for n, b in benchmarks.items() if b.chat == chat}
        if chosen:
            samples |= run_tasks(lm, chosen, loaded, chat)
    rows = [
        row
        for name, benchmark in benchmarks.items()
        for task in loaded[name]
        for row in item_rows(name, benchmark, task, samples[task])
    ]
    return pd.DataFrame(rows)


def run_tasks(
    lm: HFLM, benchmarks: dict[str, Benchmark], loaded: TaskDict, chat: bool
) -> dict[str, list[dict]]:
    """lm-eval's logged samples of every task of some benchmarks."""
    tasks, indices = {}, {}
    for name, benchmark in benchmarks.items():
        tasks |= loaded[name]
        indices |= first_items(loaded[name], benchmark.items)
    return evaluate(
        *(lm, {"tasks": tasks, "groups": {}}),
        samples=indices,
        bootstrap_iters=0,
        apply_chat_template=chat,
        fewshot_as_multiturn=chat,
    )["samples"]
