"""What decides a run, typed: the plain values that jobs get, and no others."""

import json

import pytest

import ranks
from rankone.errors import UserError
from rankone.settings import read_section
from rankone.training.settings import TrainingSettings


def read(**changes) -> TrainingSettings:
    return read_section(TrainingSettings, ranks.plain_settings(**changes))


def test_the_section_of_the_method_is_passed_on_as_it_was_given():
    assert read(grpo={"beta": 0, "loss_type": "bnpo"}).of_method() == {
        "beta": 0,
        "loss_type": "bnpo",
    }
    with pytest.raises(UserError, match="grpo is 3, but it should be a valid dict"):
        read(grpo=3)


def test_launched_processes_read_the_settings_that_were_written():
    lora = {"r": 2, "init_lora_weights": False}
    settings = read(grpo={"beta": 0.0}, lora=lora, intervention=ranks.PRS)
    written = json.loads(json.dumps(settings.model_dump()))
    assert read_section(TrainingSettings, written) == settings


def test_a_key_that_decides_nothing_is_refused_and_a_missing_one_named():
    with pytest.raises(UserError, match="'shedule' is unknown; did you mean schedule"):
        read(shedule={})
    plain = ranks.plain_settings()
    with pytest.raises(UserError, match="seed is missing"):
        read_section(TrainingSettings, {k: plain[k] for k in plain if k != "seed"})
