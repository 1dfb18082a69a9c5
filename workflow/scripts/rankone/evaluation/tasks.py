"""Which lm-eval tasks there are, and where; light enough for the Snakefile to import.

Rankone's own are the study's problem sets and the packaged benchmarks. Their files are
written where they are needed; what they share is in workflow/lm_eval_tasks.
"""

import json
import os
from importlib.util import find_spec
from pathlib import Path

from rankone.data.benchmark import BENCHMARKS, PackagedBenchmark
from rankone.names import HELD_OUT, KNOWLEDGE, MATHEMATICS, SHIFTED, TRAIN_PROBE

SHARED = Path(__file__).resolve().parents[3] / "lm_eval_tasks"
PROBLEM_TASKS = (HELD_OUT, SHIFTED, TRAIN_PROBE)
VERSION = {"version": 1.0}


def own_tasks(folders: list[str]) -> set[str]:
    """Names of Rankone's own lm-eval tasks and of those in the study's folders."""
    files = [file for folder in folders for file in Path(folder).glob("*.yaml")]
    lines = [line for file in files for line in file.read_text("utf-8").splitlines()]
    theirs = {line.split()[1] for line in lines if line.startswith("task: ")}
    return theirs | {*PROBLEM_TASKS, *BENCHMARKS}


def problem_task(name: str) -> dict:
    """lm-eval's config of the task of a problem set: greedy answers, verified."""
    split = name.removeprefix("problems_")
    return {
        "include": str(SHARED / "_problems_yaml"),
        "task": name,
        "dataset_kwargs": {"file": f"problems/{split}.jsonl"},
    }


def choice_task(benchmark: PackagedBenchmark) -> dict:
    """lm-eval's config of the task of a packaged benchmark: the likeliest choice."""
    config = {
        "include": str(SHARED / "_choice_yaml"),
        "task": benchmark.name,
        "dataset_kwargs": {"file": f"benchmarks/{benchmark.name}.jsonl"},
    }
    prompt = benchmark.prompt
    return config if prompt is None else config | {"doc_to_text": prompt}


def groups() -> list[dict]:
    """lm-eval's configs of the groups: the tasks of each domain.

    Accuracies of knowledge have an unweighted mean: a benchmark does not count for more
    because it has more items. Exact match of generated numbers and accuracy among
    options have no common mean.
    """
    tasks: dict[str, list[str]] = {KNOWLEDGE: [], MATHEMATICS: [*PROBLEM_TASKS]}
    for benchmark in BENCHMARKS.values():
        tasks[benchmark.domain].append(benchmark.name)
    mean = {"metric": "acc", "aggregation": "mean", "weight_by_size": False}
    return [
        {"group": name, "task": members, "metadata": VERSION}
        | ({"aggregate_metric_list": [mean]} if name == KNOWLEDGE else {})
        for name, members in tasks.items()
    ]


def write_own_tasks(folder: str | Path) -> Path:
    """Write Rankone's own tasks and groups as files that lm-eval reads; the folder."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    for config in (
        *map(problem_task, PROBLEM_TASKS),
        *map(choice_task, BENCHMARKS.values()),
        *groups(),
    ):
        # JSON is YAML; a group has a list under `task`.
        name = config.get("group") or config["task"]
        Path(folder, f"{name}.yaml").write_text(json.dumps(config, indent=2) + "\n")
    return folder


def lm_eval_folder(name: str) -> Path | None:
    """The folder of lm-eval's tasks that has a file of that name; None if none has.

    Their index of fifteen thousand files takes a minute to make.
    """
    root = Path(find_spec("lm_eval").origin).parent / "tasks"
    for folder, _, files in os.walk(root):
        for file in {f"{name}.yaml", f"_{name}.yaml"} & set(files):
            lines = Path(folder, file).read_text("utf-8").splitlines()
            if {f"task: {name}", f"group: {name}"} & set(lines):
                return root / Path(folder).relative_to(root).parts[0]
    return None
