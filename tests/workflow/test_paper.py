"""config/paper.yaml: its benchmarks load by their names, metrics and columns."""

import json

import pytest
import yaml

from conftest import ROOT
from rankone.errors import UserError
from rankone.evaluation import hf_backend
from rankone.evaluation.settings import Benchmark

CONFIG = yaml.safe_load((ROOT / "config" / "paper.yaml").read_text())
CHOICES = {"choices": ["1", "2"], "labels": [1, 0]}
# A row as the repository has it, its configuration, and its split.
DATA = {
    "openai/gsm8k": ({"question": "1 + 1?", "answer": "#### 2"}, ["main"], "test"),
    "HuggingFaceH4/MATH-500": (
        {"problem": "1 + 1?", "solution": r"$\boxed{2}$", "answer": "2"},
        *(["default"], "test"),
    ),
    "Maxwell-Jia/AIME_2024": (
        {"ID": "1", "Problem": "1 + 1?", "Answer": 2},
        *(["default"], "train"),
    ),
    "math-ai/aime25": (
        {"problem": "1 + 1?", "answer": "2", "id": "0"},
        *(["default"], "test"),
    ),
    "cais/mmlu": (
        {"question": "1 + 1?", "choices": ["1", "2", "3", "4"], "answer": 1},
        *(None, "test"),
    ),
    "allenai/ai2_arc": (
        {
            **{"id": "q", "question": "1 + 1?", "answerKey": "B"},
            "choices": {"text": ["1", "2"], "label": ["A", "B"]},
        },
        *(["ARC-Challenge"], "test"),
    ),
    "Rowan/hellaswag": (
        {
            **{"ind": 1, "activity_label": "Sums", "ctx_a": "One and", "ctx_b": "one"},
            **{"endings": ["are 1", "are 2", "are 3", "are 4"], "label": "1"},
        },
        *(["default"], "validation"),
    ),
    "truthfulqa/truthful_qa": (
        {"question": "1 + 1?", "mc1_targets": CHOICES, "mc2_targets": CHOICES},
        *(["multiple_choice"], "validation"),
    ),
}
SHOTS = {"gsm8k": 5, "minerva_math500": 4}


def mmlu_subjects() -> list[str]:
    """The configurations that lm-eval's tasks of the group name."""
    import lm_eval.tasks

    folder = lm_eval.tasks.__path__[0]
    files = (ROOT / folder / "mmlu" / "default").glob("mmlu_*.yaml")
    return [yaml.safe_load(file.read_text())["dataset_name"] for file in files]


def save(folder, row: dict, names: list[str], split: str) -> None:
    """A repository with one row in every split that a task could ask for."""
    folder.mkdir(parents=True)
    (folder / "data.jsonl").write_text(json.dumps(row) + "\n")
    splits = {split, "train", "dev"}
    files = [{"split": name, "path": "data.jsonl"} for name in sorted(splits)]
    configs = [{"config_name": name, "data_files": files} for name in names]
    (folder / "README.md").write_text(
        f"---\n{yaml.safe_dump({'configs': configs})}---\n"
    )


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("prepare")
    for hub, (row, names, split) in DATA.items():
        where = folder / "hub" / "datasets" / hub
        save(where, row, names or mmlu_subjects(), split)
    return folder


def outside() -> dict[str, dict]:
    return {name: b for name, b in CONFIG["benchmarks"].items() if "hub" in b}


def load(name: str, data, **changes) -> dict:
    """The tasks of a benchmark of the config, with other settings."""
    benchmark = Benchmark(**outside()[name] | changes)
    return hf_backend.load_tasks({name: benchmark}, [], data)[name]


@pytest.mark.parametrize("name", outside())
def test_a_benchmark_loads_with_its_metric_and_number_of_examples(name, data):
    loaded = load(name, data)
    assert len(loaded) == (57 if name == "mmlu" else 1)
    for task in loaded.values():
        assert len(task.eval_docs) == 1
        assert task.get_config("num_fewshot") == SHOTS.get(name, 0)
        limits = outside()[name].get("generation", {})
        used = task.get_config("generation_kwargs") or {}
        assert {key: used[key] for key in limits} == limits


def test_a_metric_that_a_task_lacks_is_refused_with_those_it_has(data):
    with pytest.raises(
        UserError, match="gsm8k: no metric 'acc'; gsm8k has exact_match"
    ):
        load("gsm8k", data, metric="acc")


def test_data_of_another_task_is_refused(data):
    with pytest.raises(UserError, match="cannot load it from math-ai/aime25"):
        load("gsm8k", data, hub="math-ai/aime25")


def test_a_filter_is_chosen_by_name_and_a_score_is_one_number():
    shared = {"doc": {}, "doc_id": 0, "filtered_resps": ["2"]}
    samples = [
        shared | {"filter": name, "exact_match": score}
        for name, score in (("strict-match", 0), ("flexible-extract", 1))
    ]

    def rows(name, metric, samples):
        benchmark = Benchmark(domain="mathematics", metric=metric)
        return hf_backend.item_rows(name, benchmark, name, samples)

    (row,) = rows("gsm8k", "exact_match,flexible-extract", samples)
    assert (row["score"], row["metric"]) == (1.0, "exact_match")
    assert rows("gsm8k", "exact_match", samples)[0]["score"] == 0.0
    with pytest.raises(UserError, match="no filter 'other'; it has strict-match, flex"):
        rows("gsm8k", "exact_match,other", samples)
    ifeval = [shared | {"filter": "none", "inst_level_strict_acc": [True, False]}]
    with pytest.raises(UserError, match="one number is needed"):
        rows("ifeval", "inst_level_strict_acc", ifeval)
