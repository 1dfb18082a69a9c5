"""Problem sets: which source a study means, and what every source must give."""

import re
from dataclasses import replace

import pytest

from rankone.data import source
from rankone.data.source import (
    SOURCES,
    check_problems,
    find_source,
    problem_sets,
    read_problems,
)
from rankone.errors import UserError

ADD = {"operation": "addition", "digits": [2, 1]}
MULTIPLY = {"operation": "multiplication", "digits": [1, 1]}
SIZES = {"train": 6, "train_probe": 2, "held_out": 3, "shifted": 1}
# As the config has it, with the defaults of every source.
DEFAULTS = {"seed": 0, "shots": 1, "stop": [], "longest": None, "sizes": SIZES}
MIXTURES = {"mixture": [ADD], "shifted_mixture": [MULTIPLY]}


def files(folder) -> dict:
    place = {"path": str(folder), "question": "q", "answer": "a"}
    datasets = {"train": place, "shifted": place}
    return {"datasets": datasets, "template": "{question}"}


def refused(settings, sentence):
    with pytest.raises(UserError, match=re.escape(sentence)):
        read_problems(DEFAULTS | settings)
        check_problems(DEFAULTS | settings)


def test_a_study_means_the_source_whose_keys_it_has(tmp_path):
    for settings, name in ((MIXTURES, "arithmetic"), (files(tmp_path), "dataset")):
        read_problems(DEFAULTS | settings)
        check_problems(DEFAULTS | settings)
        assert find_source(DEFAULTS | settings).name == name
        assert find_source(DEFAULTS | settings | {"source": name}).name == name


def test_keys_of_no_source_or_of_two_are_refused(tmp_path):
    known = "mixture, shifted_mixture (arithmetic); datasets, template (dataset)"
    refused({}, "problems: the keys are of 0 sources, expected one; give `source`")
    refused(MIXTURES | files(tmp_path), "the keys are of 2 sources")
    refused({}, known)


def test_an_unknown_source_is_refused():
    refused({"source": "magic"}, "'magic' is unknown; expected one of arithmetic")


def test_a_missing_setting_is_named():
    refused({"mixture": [ADD]}, "problems.shifted_mixture is missing")


def test_settings_that_the_source_does_not_have_are_refused(tmp_path):
    refused(MIXTURES | {"typo": 1}, "problems: 'typo' is unknown; expected source")
    settings = files(tmp_path) | MIXTURES | {"source": "dataset"}
    refused(settings, "problems: 'mixture' is unknown; expected source, seed")


def test_a_probe_larger_than_train_is_refused():
    larger = SIZES | {"train_probe": 7}
    refused(MIXTURES | {"sizes": larger}, "sizes.train_probe is larger than")


def test_a_path_that_is_nowhere_and_a_prompt_without_its_question_are_refused(tmp_path):
    refused(files(tmp_path / "no"), f"datasets.train: there is no {tmp_path / 'no'}")
    refused(files(tmp_path) | {"template": "q"}, "template lacks {question}")


@pytest.mark.parametrize(
    ("rows", "sentence"),
    [
        (lambda rows: rows[:2], "held_out of the source arithmetic has 2 problems"),
        (lambda rows: [rows[0], *rows[:2]], "has the same id twice"),
        (lambda rows: [rows[0], {"id": "x"}, {"id": "y"}], "has a problem without"),
        (lambda rows: [r | {"verifier": "luck"} for r in rows], "'luck' is unknown"),
    ],
)
def test_problems_that_are_too_few_or_not_whole_are_refused(
    monkeypatch, rows, sentence
):
    real = SOURCES["arithmetic"]

    def broken(settings, inputs):
        splits = real.make_splits(settings, inputs)
        return splits | {"held_out": rows(splits["held_out"])}

    wrong = replace(real, make_splits=broken)
    monkeypatch.setattr(source, "SOURCES", {"arithmetic": wrong})
    with pytest.raises(UserError, match=sentence):
        problem_sets(read_problems(DEFAULTS | MIXTURES), {})
