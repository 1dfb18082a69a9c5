"""Verifiers: strict about integers, mathematical about boxes, never stuck."""

import multiprocessing
import os
import signal
import threading
import time

import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rankone.data.verifier import correct
from rankone.data.verifiers import math
from rankone.data.verifiers.integer import equal_integers, leading_integer
from rankone.data.verifiers.math import equal_boxed

TOWER = r"\boxed{9^{9^{9^{9}}}}"


@given(
    st.integers(), st.sampled_from(["", " ", "  "]), st.sampled_from(["", "\n5", " "])
)
def test_an_exact_answer_is_correct(number, before, after):
    assert equal_integers([f"{before}{number}{after}"], [str(number)]) == [True]


@given(st.integers(), st.integers())
def test_another_number_is_wrong(number, other):
    assert equal_integers([str(other)], [str(number)]) == [other == number]


@pytest.mark.parametrize("text", ["", "four", "4.6", "4,600", "= 46", "\n46", "-"])
def test_what_does_not_start_with_an_integer_has_no_answer(text):
    assert leading_integer(text) is None


@pytest.mark.parametrize(
    ("text", "answer"),
    [("046", "46"), ("46.", "46"), ("46, so", "46"), ("-0", "0"), ("46 4", "46")],
)
def test_the_answer_is_the_leading_integer(text, answer):
    assert leading_integer(text) == answer


@pytest.mark.parametrize(
    ("text", "answer", "right"),
    [
        (r"so $x = 1$, thus \boxed{\frac{1}{2}}.", "0.5", True),
        (r"\boxed{1,000}", "1000", True),
        (r"\boxed{x^2+2x+1}", "(x+1)^2", True),
        (r"\boxed{5 \text{ cm}}", "5", True),
        ("Therefore the final answer is $3$.", "3", True),
        ("the answer is 3", "3", False),
        (r"\boxed{2}", "3", False),
        (r"\boxed{}", "3", False),
        ("", "3", False),
    ],
)
def test_a_box_is_compared_as_mathematics(text, answer, right):
    assert equal_boxed([text], [answer]) == [right]


def test_an_answer_that_takes_too_long_is_wrong_in_any_thread(monkeypatch):
    monkeypatch.setattr(math, "SECONDS", 2)
    found = []
    thread = threading.Thread(
        target=lambda: found.extend(equal_boxed([TOWER, r"\boxed{4}"], ["4", "4"]))
    )
    begun = time.monotonic()
    thread.start()
    thread.join(timeout=30)
    assert found == [False, True] and time.monotonic() - begun >= 2


def test_a_process_that_dies_costs_its_answer_alone():
    equal_boxed([r"\boxed{4}"], ["4"])
    found = []
    thread = threading.Thread(target=lambda: found.extend(equal_boxed([TOWER], ["4"])))
    thread.start()
    time.sleep(1)
    for process in multiprocessing.active_children():
        if psutil.Process(process.pid).status() == psutil.STATUS_RUNNING:
            os.kill(process.pid, signal.SIGKILL)
    thread.join(timeout=math.SECONDS / 2)
    assert found == [False]
    assert equal_boxed([r"\boxed{4}"], ["4"]) == [True]


def test_each_problem_is_judged_by_its_own_verifier():
    assert correct(["46 apples"], [{"answer": "46", "verifier": "integer"}]) == [True]
    assert correct(["46 apples"], [{"answer": "46", "verifier": "math"}]) == [False]
    assert correct([], []) == []
