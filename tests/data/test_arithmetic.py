"""Arithmetic problem sets: exact answers, splits that do not overlap."""

import pytest

from rankone.data.settings import ArithmeticProblems, Family
from rankone.data.source import problem_sets
from rankone.data.sources import arithmetic
from rankone.errors import UserError

ADD = {"operation": "addition", "digits": [2, 1]}
SUBTRACT = {"operation": "subtraction", "digits": [2, 2]}
MULTIPLY = {"operation": "multiplication", "digits": [1, 1]}
SIZES = {"train": 60, "train_probe": 20, "held_out": 30, "shifted": 10}


def settings(**changes):
    given = {
        "seed": 0,
        "shots": 2,
        "mixture": [ADD, SUBTRACT],
        "shifted_mixture": [MULTIPLY],
        "sizes": SIZES,
    }
    return ArithmeticProblems(**given | changes)


def test_splits_have_their_sizes_and_do_not_overlap():
    splits = problem_sets(settings(), {})
    ids = {name: {row["id"] for row in rows} for name, rows in splits.items()}
    assert {name: len(found) for name, found in ids.items()} == SIZES
    assert not ids["train"] & ids["held_out"]
    assert not ids["shifted"] & (ids["train"] | ids["held_out"])
    assert ids["train_probe"] < ids["train"]


def test_few_shot_examples_are_in_no_split():
    rows = arithmetic.make_splits(settings())["train"]
    shots = {line for row in rows for line in row["prompt"].split("\n")[:-1]}
    questions = {row["prompt"].split("\n")[-1] for row in rows}
    assert len(shots) == 4
    assert not {shot.rsplit(" ", 1)[0] for shot in shots} & questions


def test_every_answer_is_exact():
    for rows in arithmetic.make_splits(settings()).values():
        for row in rows:
            expression = row["prompt"].split("\n")[-1].removesuffix(" =")
            assert row["answer"] == str(eval(expression))


def test_the_same_seed_gives_the_same_problems_and_another_does_not():
    first, again = (arithmetic.make_splits(settings()) for _ in range(2))
    assert first == again
    assert arithmetic.make_splits(settings(seed=1)) != first


def test_differences_are_not_negative():
    family = Family(operation="subtraction", digits=[1, 2])
    assert all(a >= b for a, b in arithmetic.pairs(family))


def test_a_mixture_that_is_too_small_is_refused():
    small = settings(mixture=[MULTIPLY], shifted_mixture=[ADD])
    with pytest.raises(UserError, match="has 81 different problems.* need 92"):
        arithmetic.make_splits(small)


def test_a_family_in_both_mixtures_is_refused():
    with pytest.raises(UserError, match="addition 2x1 is in `mixture` and"):
        arithmetic.make_splits(settings(shifted_mixture=[ADD]))


def test_a_family_that_is_twice_in_a_mixture_is_refused():
    with pytest.raises(UserError, match="a mixture has addition 2x1 twice"):
        arithmetic.make_splits(settings(mixture=[ADD, SUBTRACT, ADD]))
