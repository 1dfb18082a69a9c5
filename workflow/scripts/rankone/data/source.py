"""Where the problems of a study come from, and what every problem set is.

A problem has an `id`, a `prompt` that ends where the model must answer, an `answer`,
its `verifier` (see rankone.data.verifier), and the texts that `stop` a completion.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from rankone.data.settings import Problems
from rankone.data.verifier import VERIFIERS
from rankone.errors import UserError
from rankone.registry import Registry
from rankone.settings import read_section

MADE = ("train", "held_out", "shifted")  # train_probe is the first part of train
COLUMNS = {"id", "prompt", "answer", "verifier", "stop"}


def check_nothing(settings: dict) -> None:
    """Accept all settings."""


def no_inputs(settings: dict) -> dict[str, dict]:
    """No file and no repository."""
    return {}


@dataclass(frozen=True)
class ProblemSource:
    """One way to get problems; its functions get the config's `problems:` mapping.

    `settings` is the model of that section, with keys of its own. `check(settings)`
    raises UserError for problems that cannot be made; it runs at every start, so it is
    quick and imports nothing heavy. `inputs(settings)` names what problems are made
    from: `{name: {"path": file or folder}}`, or `hub` and `revision` of a data set.
    `make_splits(section, inputs)`, given paths by those names, returns the problems of
    `train`, `held_out` and `shifted`. `stop(settings)` are the texts that end answers,
    `prompt_tokens` is about how long a prompt is (for estimates).
    """

    name: str
    description: str
    settings: type[Problems]
    make_splits: Callable[[Any, dict[str, str]], dict[str, list[dict]]]
    stop: Callable[[dict], list[str]]
    prompt_tokens: int
    check: Callable[[dict], None] = check_nothing
    inputs: Callable[[dict], dict[str, dict]] = no_inputs
    order: int = 1000


SOURCES = Registry[ProblemSource]("The problem source", "rankone.data.sources")


def find_source(settings: dict) -> ProblemSource:
    """The source of a `problems:` mapping: `source`, else the one whose keys it has.

    UserError where that is none, or not one.
    """
    if "source" in settings:
        return SOURCES[settings["source"]]
    fitting = [s for s in SOURCES.values() if settings.keys() & set(own_keys(s))]
    if len(fitting) != 1:
        known = [f"{', '.join(own_keys(s))} ({s.name})" for s in SOURCES.values()]
        raise UserError(
            f"problems: the keys are of {len(fitting)} sources, expected one; give "
            f"`source`, or the keys of one: {'; '.join(known)}."
        )
    return fitting[0]


def own_keys(source: ProblemSource) -> list[str]:
    """The keys that a source needs, beside those of all."""
    keys = source.settings.keys()
    return [k for k in keys if k not in Problems.keys() and keys[k].is_required()]


def read_problems(given: Any) -> Any:
    """The `problems:` section as its source has it; UserError for a mistake."""
    if not isinstance(given, dict):
        return given
    return read_section(find_source(given).settings, given, "problems")


def source_of(problems: Problems) -> ProblemSource:
    """The source of a section that read_problems() gave."""
    if problems.source:
        return SOURCES[problems.source]
    return next(s for s in SOURCES.values() if s.settings is type(problems))


def check_problems(settings: dict) -> None:
    """Raise UserError for problem sets that cannot be made as written."""
    if settings["sizes"]["train_probe"] > settings["sizes"]["train"]:
        raise UserError("problems: sizes.train_probe is larger than sizes.train.")
    find_source(settings).check(settings)


def problem_sets(problems: Problems, inputs: dict[str, str]) -> dict[str, list[dict]]:
    """The problems of train, train_probe, held_out and shifted, checked.

    `inputs` are the paths of the source's inputs by their names.
    """
    source, sizes = source_of(problems), vars(problems.sizes)
    splits = source.make_splits(problems, inputs)
    for split in MADE:
        check_split(source.name, split, splits[split], sizes[split])
    return splits | {"train_probe": splits["train"][: sizes["train_probe"]]}


def check_split(source: str, split: str, rows: list[dict], size: int) -> None:
    """Raise UserError unless rows are as many problems as asked, each of them whole."""
    where = f"problems: {split} of the source {source}"
    if len(rows) != size:
        raise UserError(f"{where} has {len(rows)} problems, expected {size}.")
    if len({row["id"] for row in rows}) != size:
        raise UserError(f"{where} has the same id twice.")
    for row in rows:
        if missing := COLUMNS - row.keys():
            raise UserError(f"{where} has a problem without {', '.join(missing)}.")
        VERIFIERS[row["verifier"]]
