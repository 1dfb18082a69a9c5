"""Arithmetic problem sets that do not overlap, made from a seed."""

import itertools
import random
from collections.abc import Iterator

from rankone.data.settings import ArithmeticProblems, Family
from rankone.data.source import SOURCES, ProblemSource
from rankone.errors import UserError

OPERATIONS = {
    "addition": ("+", lambda a, b: a + b),
    "subtraction": ("-", lambda a, b: a - b),
    "multiplication": ("*", lambda a, b: a * b),
}
STOP = "\n"


def operands(digits: int) -> range:
    """Positive integers with that many digits."""
    return range(1 if digits == 1 else 10 ** (digits - 1), 10**digits)


def pairs(family: Family) -> list[tuple[int, int]]:
    """Every operand pair of a family; differences are never negative."""
    both = itertools.product(*map(operands, family.digits))
    if family.operation == "subtraction":
        return [(a, b) for a, b in both if a >= b]
    return list(both)


def question(family: Family, pair: tuple[int, int]) -> str:
    """One problem as text, up to the equals sign."""
    symbol, _ = OPERATIONS[family.operation]
    return f"{pair[0]} {symbol} {pair[1]} ="


def solve(family: Family, pair: tuple[int, int]) -> str:
    """The exact answer."""
    _, function = OPERATIONS[family.operation]
    return str(function(*pair))


def few_shot(family: Family, shots: list[tuple[int, int]]) -> str:
    """Solved problems of a family, one a line."""
    return "".join(f"{question(family, s)} {solve(family, s)}{STOP}" for s in shots)


def problem(family: Family, shots: list, pair: tuple[int, int]) -> dict:
    """One row of a problem set."""
    text = question(family, pair)
    return {
        "id": f"{family.operation}:{text.removesuffix(' =')}",
        "prompt": few_shot(family, shots) + text,
        "answer": solve(family, pair),
        "verifier": "integer",
        "stop": [STOP],
        "operation": family.operation,
        "digits": f"{family.digits[0]}x{family.digits[1]}",
    }


def family_sizes(size: int, count: int) -> list[int]:
    """Split `size` as evenly as possible into `count` parts."""
    return [size // count + (i < size % count) for i in range(count)]


def draw(families: list[Family], sizes: dict[str, int], shots: int, seed: int) -> dict:
    """Draw disjoint problem sets of the given sizes from one mixture.

    Each family's operand pairs are shuffled once and dealt out: first the few-shot
    examples, then each split in order, so that no pair is used twice.
    """
    splits: dict[str, list[dict]] = {name: [] for name in sizes}
    for index, family in enumerate(families):
        rng = random.Random(f"{seed}:{family.name}")
        pool = pairs(family)
        rng.shuffle(pool)
        parts = {n: family_sizes(s, len(families))[index] for n, s in sizes.items()}
        check_supply(family, len(pool), shots + sum(parts.values()))
        deal: Iterator = iter(pool)
        examples = list(itertools.islice(deal, shots))
        for name, part in parts.items():
            chosen = itertools.islice(deal, part)
            splits[name] += [problem(family, examples, pair) for pair in chosen]
    for name, rows in splits.items():
        random.Random(f"{seed}:{name}").shuffle(rows)
    return splits


def check_supply(family: Family, available: int, wanted: int) -> None:
    """Raise UserError when a family has fewer problems than the splits need."""
    if wanted > available:
        raise UserError(
            f"problems: {family.name} has {available} different problems, but the "
            f"splits and few-shot examples need {wanted}; lower the sizes or add "
            "families to the mixture."
        )


def check_mixture(mixture: list[Family]) -> None:
    """Raise UserError for a family that is there twice: it would be dealt twice."""
    for family in mixture:
        if mixture.count(family) > 1:
            raise UserError(f"problems: a mixture has {family.name} twice.")


def make_splits(settings: ArithmeticProblems) -> dict[str, list[dict]]:
    """The arithmetic problem sets: train, held_out, shifted.

    `train` and `held_out` share a distribution but no problem; `shifted` comes from
    another mixture and shares no family with them.
    """
    mixture, shifted = settings.mixture, settings.shifted_mixture
    check_mixture(mixture)
    check_mixture(shifted)
    if common := [family.name for family in mixture if family in shifted]:
        names = ", ".join(sorted(common))
        raise UserError(f"problems: {names} is in `mixture` and in `shifted_mixture`.")
    sizes, shots, seed = settings.sizes, settings.shots, settings.seed
    own = {"train": sizes.train, "held_out": sizes.held_out}
    splits = draw(mixture, own, shots, seed)
    return splits | draw(shifted, {"shifted": sizes.shifted}, shots, seed)


def check(settings: ArithmeticProblems) -> None:
    """Raise UserError for families that have too few problems, or are in both."""
    make_splits(ArithmeticProblems.model_validate(settings))


SOURCES.add(
    ProblemSource(
        name="arithmetic",
        description="Sums, differences and products of given numbers of digits.",
        settings=ArithmeticProblems,
        check=check,
        make_splits=lambda settings, inputs: make_splits(settings),
        stop=lambda settings: [STOP],
        prompt_tokens=20,
        order=1,
    )
)
