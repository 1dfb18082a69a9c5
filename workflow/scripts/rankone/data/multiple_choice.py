"""What benchmarks of multiple choice share: reading archives, making sound items.

Rows have `id`, `question`, `choices`, `label` (index of the key), `source`, and
`canary` where the data has one. Ids, option order and distractors depend on the
question and the seed only, so a limit changes how many items there are and not which.
"""

import hashlib
import json
import random
import tarfile
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from rankone.data.benchmark import PackagedBenchmark, Row
from rankone.data.package_index import PackageFile
from rankone.errors import UserError

# Apache-2.0. Its authors ask that their canary string travels with the data and that
# nobody trains on it, so every row carries it.
BIGBENCH = PackageFile(
    name="bigbench",
    version="1.0.0",
    kind="sdist",
    filename="bigbench-1.0.0.tar.gz",
    sha256="1bb398a5512c6d798cdebe0dfa0ac03f67f6033fa6b39c6ef71df978c7cbc5c2",
)
BIGBENCH_TASK = "bigbench-1.0.0/bigbench/benchmark_tasks/{}/task.json"


def read_members(archive: str | Path, names: Iterable[str]) -> dict[str, bytes]:
    """Bytes of the named members of a .tar.gz or .whl/.zip, nothing else unpacked.

    A .tar.gz is streamed once and left as soon as everything is found. Raises UserError
    for a missing member or an archive that is cut short.
    """
    wanted = set(names)
    try:
        if zipfile.is_zipfile(archive):
            with zipfile.ZipFile(archive) as file:
                found = {n: file.read(n) for n in wanted & set(file.namelist())}
        else:
            found = stream_members(archive, wanted)
    except (tarfile.TarError, zipfile.BadZipFile, zlib.error, EOFError) as error:
        raise UserError(
            f"{archive} cannot be read ({error}): delete it and fetch it again."
        ) from error
    if missing := wanted - found.keys():
        raise UserError(
            f"{archive} does not contain {', '.join(sorted(missing))}: "
            "it is another release, or another package, than the expected one."
        )
    return found


def stream_members(archive: str | Path, wanted: set[str]) -> dict[str, bytes]:
    """Those wanted members of a .tar.gz that are there."""
    found: dict[str, bytes] = {}
    with tarfile.open(archive, "r|gz") as file:
        for member in file:
            if member.name in wanted and (data := file.extractfile(member)):
                found[member.name] = data.read()
                if len(found) == len(wanted):
                    break
    return found


def expect(count: int, expected: int, what: str) -> None:
    """Raise UserError if a count is not the known one of the pinned release."""
    if count != expected:
        raise UserError(
            f"Found {count} {what}, expected {expected}: the source data are not "
            "the pinned release, or its format is read wrongly."
        )


def digest_order(rows: Iterable[Row], seed: int) -> list[Row]:
    """Rows in a random order that does not depend on which other rows there are."""
    return sorted(
        rows, key=lambda row: hashlib.sha256(f"{seed}:{row['id']}".encode()).digest()
    )


def make_item(
    name: str, question: str, key: str, wrong: Sequence[str], source: str, seed: int
) -> Row | None:
    """One item with its options shuffled, or None without two distinct options.

    Empty wrong options, and those equal to another option but for case, are dropped.
    """
    options = {}
    for option in (key, *wrong):
        if option.strip():
            options.setdefault(option.strip().casefold(), option.strip())
    if not question.strip() or not key.strip() or len(options) < 2:
        return None
    question, key, choices = question.strip(), key.strip(), list(options.values())
    random.Random(f"{seed}:{name}:{question}").shuffle(choices)
    identity = hashlib.sha256(f"{question}\n{key}".encode()).hexdigest()[:12]
    return {
        "id": f"{name}-{identity}",
        "question": question,
        "choices": choices,
        "label": choices.index(key),
        "source": source,
    }


def check_items(name: str, rows: Sequence[Row]) -> None:
    """Raise UserError unless ids are unique and every item has a key among its
    distinct, non-empty options."""
    ids = Counter(row["id"] for row in rows)
    if repeated := [i for i, count in ids.items() if count > 1]:
        raise UserError(f"{name} has the same id twice: {repeated[0]}.")
    for row in rows:
        folded = [choice.casefold() for choice in row["choices"]]
        sound = len(folded) >= 2 and all(folded) and len(set(folded)) == len(folded)
        if not sound or not 0 <= row["label"] < len(folded):
            raise UserError(f"{name} has an unusable item {row['id']}: {row}.")


def unique(rows: Iterable[Row | None]) -> list[Row]:
    """Rows without the Nones and without a second row of the same id."""
    found: dict[str, Row] = {}
    for row in rows:
        if row:
            found.setdefault(row["id"], row)
    return list(found.values())


def targets(example: Mapping[str, Any]) -> list[str]:
    """Accepted answers of a BIG-bench example: a string or a list of strings."""
    answer = example["target"]
    return [x.strip() for x in ([answer] if isinstance(answer, str) else answer)]


def scored_items(
    name: str, task: str, examples: Iterable[Mapping[str, Any]], seed: int
) -> list[Row]:
    """Items of a BIG-bench multiple-choice task; those with several keys are left out.

    A question that occurs twice is kept once.
    """
    rows = {}
    for example in examples:
        scores = example["target_scores"]
        keys = [x for x, score in scores.items() if score == max(scores.values())]
        if len(keys) == 1:
            wrong = [x for x in scores if x != keys[0]]
            question = example["input"].strip()
            row = make_item(name, question, keys[0], wrong, f"bigbench:{task}", seed)
            rows.setdefault(question, row)
    return unique(rows.values())


def bigbench_examples(texts: Sequence[str]) -> list[Row]:
    """Examples of one BIG-bench task, each with the task's canary string."""
    (task,) = map(json.loads, texts)
    return [{**example, "canary": task["canary"]} for example in task["examples"]]


def bigbench(task: str, **options) -> PackagedBenchmark:
    """A benchmark made from one BIG-bench task; `options` are its other fields."""
    return PackagedBenchmark(
        package=BIGBENCH,
        members=(BIGBENCH_TASK.format(task),),
        parse=bigbench_examples,
        **options,
    )


def build_benchmark(
    benchmark: PackagedBenchmark,
    members: Mapping[str, bytes],
    seed: int,
    limit: int | None,
) -> list[Row]:
    """Checked items in random order, at most `limit`; the first of a file are a sample.

    Raises UserError if the source or its items are not as many as the pinned release
    has.
    """
    name = benchmark.name
    examples = benchmark.parse([members[m].decode() for m in benchmark.members])
    expect(len(examples), benchmark.examples, f"examples for {name}")
    rows = benchmark.build(examples, seed)
    check_items(name, rows)
    expect(len(rows), benchmark.items, f"items of {name}")
    canary = {"canary": examples[0]["canary"]} if "canary" in examples[0] else {}
    return [{**row, **canary} for row in digest_order(rows, seed)[:limit]]
