"""A study on problems from files: boxed answers, judged by math-verify."""

import json
import random

import pandas as pd
import pytest
import torch
import yaml

import tiny
from rankone.data.settings import Dataset
from rankone.data.source import problem_sets, read_problems
from rankone.data.sources import dataset
from rankone.errors import UserError
from rankone.files import read_jsonl
from running import output, snakemake

MORE = "\\{}"
TEMPLATE = "q {question}\na "


def rows(number: int, most: int, text: str) -> list[dict]:
    """Word problems whose answer is a digit."""
    asked = [(a, b) for a in range(1, most) for b in range(1, most) if a + b < 10]
    random.Random(0).shuffle(asked)
    return [
        {"problem": text.format(a=a, b=b), "answer": a + b} for a, b in asked[:number]
    ]


def save_rows(folder) -> None:
    """Problems to train on as JSON Lines, others as Parquet."""
    train = rows(28, 9, "{a} cats and {b} more")
    lines = "".join(json.dumps(row) + "\n" for row in train)
    (folder / "train.jsonl").write_text(lines)
    table = pd.DataFrame(rows(6, 5, "{b} dogs meet {a}"))
    table.to_parquet(folder / "shifted.parquet")


def save_taught_model(folder) -> None:
    """A model that boxes digits, without knowing which."""
    model, tokenizer = tiny.make_model(0, MORE), tiny.make_tokenizer(MORE)
    asked = [row["problem"] for row in rows(28, 9, "{a} cats and {b} more")]
    texts = [
        f"{TEMPLATE.replace('{question}', question)}\\boxed{{{digit}}}<eos>"
        for question in asked
        for digit in range(2, 10)
    ]
    batch = tokenizer(texts, return_tensors="pt", padding=True)
    batch.pop("token_type_ids", None)
    labels = batch["input_ids"].masked_fill(batch["attention_mask"] == 0, -100)
    optimizer = torch.optim.AdamW(model.train().parameters(), lr=1e-2)
    for _ in range(60):
        optimizer.zero_grad()
        model(**batch, labels=labels).loss.backward()
        optimizer.step()
    model.eval().save_pretrained(folder / "model")
    tokenizer.save_pretrained(folder / "model")


def study(folder) -> dict:
    """The tiny study with problems from files."""
    columns = {"question": "problem", "answer": "answer"}
    files = {"train": "train.jsonl", "shifted": "shifted.parquet"}
    problems = {
        "datasets": {n: {"path": str(folder / f)} | columns for n, f in files.items()},
        "template": TEMPLATE,
        "sizes": {"train": 16, "train_probe": 4, "held_out": 8, "shifted": 4},
    }
    config = tiny.study(folder)
    names = ("problems_held_out", "problems_shifted")
    return config | {
        "problems": problems,
        "grpo": config["grpo"] | {"max_completion_length": 12},
        "schedule": {"max_steps": 4, "export_steps": [4], "save_steps": 2},
        "arms": {"full": {"seeds": [0]}},
        "probes": {"problems": 4, "samples": 2},
        "variants": ["full", "rank1"],
        "benchmarks": {name: config["benchmarks"][name] for name in names}
        | {"weather": config["benchmarks"]["weather"]},
        "sample": {"problems": 4, "samples": 8, "variants": ["full"]},
        "analyze": {"draws": 500, "parts": []},
    }


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """The folder of a study that has run to its claims."""
    folder = tmp_path_factory.mktemp("words")
    save_rows(folder)
    save_taught_model(folder)
    tiny.save_task(folder / "tasks")
    (folder / "config.yaml").write_text(yaml.safe_dump(study(folder)))
    sample = "results/sample/full-seed0/step-4.parquet"
    run = snakemake(folder, "results/claims.tsv", sample)
    assert run.returncode == 0, output(run)[-5000:]
    return folder


def test_rewards_are_those_of_boxed_answers(done):
    metrics = pd.read_csv(done / "results/train/full-seed0/metrics.tsv", sep="\t")
    assert metrics["reward"].between(0.02, 0.98).all()
    sampled = pd.read_parquet(done / "results/sample/full-seed0/step-4.parquet")
    asked = read_jsonl(done / "results/prepare/problems/held_out.jsonl")
    boxes = {row["id"]: f"\\boxed{{{row['answer']}}}" for row in asked}
    right = [row.response == boxes[row.problem] for row in sampled.itertuples()]
    assert sampled["correct"].tolist() == right and any(right) and not all(right)


def test_benchmarks_of_the_problem_sets_answer_at_the_length_of_training(done):
    scores = pd.read_parquet(done / "results/evaluate/base/step-0.parquet")
    held_out = scores.query("benchmark == 'problems_held_out'")
    assert len(held_out) == 8
    assert held_out["response"].str.startswith("\\boxed{").mean() > 0.5
    assert (done / "results/claims.tsv").exists()


def make(folder, **changes) -> dict:
    """Problem sets of the study's files."""
    save_rows(folder)
    settings = study(folder)["problems"]
    paths = {name: place["path"] for name, place in settings["datasets"].items()}
    return problem_sets(read_problems(settings | changes), paths)


def test_splits_from_datasets_ask_no_question_twice(tmp_path):
    splits = make(tmp_path)
    assert {name: len(rows) for name, rows in splits.items()} == {
        **{"train": 16, "train_probe": 4, "held_out": 8, "shifted": 4}
    }
    apart = [row["question"] for name in ("train", "held_out") for row in splits[name]]
    assert len(set(apart)) == 24
    assert splits["train_probe"] == splits["train"][:4]
    assert splits["train"][0]["prompt"].startswith("q ")
    assert make(tmp_path) == splits != make(tmp_path, seed=1)


def test_repeated_long_empty_and_unverifiable_rows_are_left_out(tmp_path):
    settings = study(tmp_path)["problems"] | {"longest": 20}
    settings["sizes"] = {"train": 1, "train_probe": 1, "held_out": 1, "shifted": 1}
    good = [("one", "1"), ("two", r"\frac{1}{2}")]
    bad = [("One ", "2"), ("three", None), ("", "4"), ("five" * 9, "5"), ("six", "$$")]
    train = [{"problem": q, "answer": a} for q, a in [*good, *bad]]
    shifted = [{"problem": "TWO", "answer": "2"}, {"problem": "new", "answer": "3"}]
    rows = {"train": train, "shifted": shifted}
    splits = dataset.choose_problems(read_problems(settings), rows)
    kept = {row["question"].casefold() for row in splits["train"] + splits["held_out"]}
    assert kept == {"one", "two"}
    assert [row["question"] for row in splits["shifted"]] == ["new"]
    settings["sizes"]["train"] = 9
    with pytest.raises(UserError, match="2 of its rows are usable .* need 10"):
        dataset.choose_problems(read_problems(settings), rows)


def test_a_missing_column_is_named(tmp_path):
    save_rows(tmp_path)
    path = tmp_path / "train.jsonl"
    source = Dataset(path=str(path), question="prompt", answer="answer")
    with pytest.raises(UserError, match="no column prompt; it has problem, answer"):
        dataset.read_rows(path, source)
