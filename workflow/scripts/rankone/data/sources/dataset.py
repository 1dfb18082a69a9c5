"""Problem sets from the rows of datasets, checked by the verifier before training."""

import itertools
import random
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

from rankone.data.settings import Dataset, DatasetProblems
from rankone.data.source import SOURCES, ProblemSource
from rankone.data.verifier import correct
from rankone.errors import UserError

QUESTION = "{question}"
BATCH = 500


def read_rows(source: str | Path, dataset: Dataset) -> list[dict]:
    """Rows of one split of a dataset: a folder, or one JSON Lines or Parquet file."""
    import datasets

    source, columns = Path(source), [dataset.question, dataset.answer]
    folder, file = (source.parent, source.name) if source.is_file() else (source, None)
    with tempfile.TemporaryDirectory() as scratch:
        options = {"data_files": file, "cache_dir": scratch, "split": dataset.split}
        try:
            rows = datasets.load_dataset(str(folder), dataset.name, **options)
        except (ValueError, OSError) as error:
            raise UserError(
                f"problems.datasets: cannot read {source}: {error}"
            ) from None
        if missing := set(columns) - set(rows.column_names):
            raise UserError(
                f"problems.datasets: {source} has no column {', '.join(missing)}; it "
                f"has {', '.join(rows.column_names)}."
            )
        return rows.select_columns(columns).to_list()


def make_splits(
    settings: DatasetProblems, inputs: dict[str, str]
) -> dict[str, list[dict]]:
    """Problem sets from the files or folders of the datasets `train` and `shifted`."""
    rows = {name: read_rows(inputs[name], found) for name, found in settings.datasets}
    return choose_problems(settings, rows)


def choose_problems(settings: DatasetProblems, rows: dict[str, list[dict]]) -> dict:
    """Problem sets from rows of datasets: train, held_out, shifted.

    `rows` has those of `train`, from which `held_out` comes as well, and of `shifted`.
    They are shuffled; no question is asked twice, in whatever split. Rows without an
    answer that its own verifier accepts are left out: no model could earn a reward.
    """
    sizes, used = settings.sizes, set()
    wanted = {"train": sizes.train + sizes.held_out, "shifted": sizes.shifted}
    found: dict[str, list[dict]] = {}
    for name, dataset in settings.datasets:
        size = wanted[name]
        asked = [
            make_problem(settings, dataset, f"{name}:{number}", row)
            for number, row in enumerate(rows[name])
        ]
        random.Random(f"{settings.seed}:{name}").shuffle(asked)
        fresh = unused(asked, used, settings.longest)
        found[name] = list(itertools.islice(verifiable(fresh), size))
        if len(found[name]) < size:
            raise UserError(
                f"problems.datasets.{name}: {len(found[name])} of its rows are usable "
                f"problems, but the splits need {size}; lower the sizes."
            )
    train = found["train"]
    return {
        "train": train[: sizes.train],
        "held_out": train[sizes.train :],
        "shifted": found["shifted"],
    }


def make_problem(
    settings: DatasetProblems, dataset: Dataset, name: str, row: dict
) -> dict:
    """A row of a dataset as a problem, with its bare `question`."""
    question, answer = row[dataset.question], row[dataset.answer]
    question = "" if question is None else str(question).strip()
    return {
        "id": name,
        "prompt": settings.template.replace(QUESTION, question),
        "answer": "" if answer is None else str(answer).strip(),
        "verifier": "math",
        "stop": settings.stop,
        "question": question,
    }


def unused(
    problems: Iterable[dict], used: set[str], longest: int | None
) -> Iterator[dict]:
    """Problems with question and answer that are in `used` by no other; adds them."""
    for row in problems:
        key = " ".join(row["question"].split()).casefold()
        short = longest is None or len(key) <= longest
        if key and row["answer"] and short and key not in used:
            used.add(key)
            yield row


def verifiable(problems: Iterator[dict]) -> Iterator[dict]:
    """Problems whose own answer, boxed, is right."""
    while batch := list(itertools.islice(problems, BATCH)):
        boxed = [f"\\boxed{{{row['answer']}}}" for row in batch]
        for row, right in zip(batch, correct(boxed, batch), strict=True):
            if right:
                yield row


def check(settings: dict) -> None:
    """Raise UserError for a prompt without its question, or a path that is nowhere."""
    if QUESTION not in settings["template"]:
        raise UserError(f"problems.template lacks {QUESTION}, where a question goes.")
    for name, dataset in settings["datasets"].items():
        if "path" in dataset and not Path(dataset["path"]).exists():
            raise UserError(f"problems.datasets.{name}: there is no {dataset['path']}.")


SOURCES.add(
    ProblemSource(
        name="dataset",
        description="Rows of datasets with an answer in LaTeX.",
        settings=DatasetProblems,
        check=check,
        inputs=lambda settings: settings["datasets"],
        make_splits=make_splits,
        stop=lambda settings: settings["stop"],
        prompt_tokens=200,
        order=2,
    )
)
