"""Runs by arm and seed, trained here or imported."""

import pytest

from rankone.errors import UserError
from rankone.study.runs import Run, expand
from shipped import config

SCHEDULE = {"max_steps": 8, "export_steps": [8, 4]}


def test_an_arm_has_a_run_for_each_seed_with_ascending_steps():
    found = expand(config(schedule=SCHEDULE, arms={"a": {"seeds": [3, 1]}}))
    assert list(found) == ["a-seed3", "a-seed1"]
    assert found["a-seed3"] == Run(arm="a", seed=3, steps=[4, 8])
    assert found["a-seed3"].trained


def test_an_imported_run_has_its_own_steps_and_the_seed_in_its_sources():
    arms = {"a": {"seeds": [2], "import": {"steps": {"20": "x-{seed}", 5: "y"}}}}
    run = expand(config(arms=arms))["a-seed2"]
    assert (run.steps, run.sources) == ([5, 20], {5: "y", 20: "x-2"})
    assert not run.trained


@pytest.mark.parametrize(
    ("steps", "sentence"),
    [
        ({10: "x", "10": "y"}, "'10' is given twice"),
        ({0: "x"}, "0 is no optimizer step"),
        ({"last": "x"}, "'last' is no optimizer step"),
    ],
)
def test_a_step_that_is_none_or_twice_is_refused(steps, sentence):
    with pytest.raises(UserError, match=f"arms.a.import.steps: {sentence}"):
        expand(config(arms={"a": {"import": {"steps": steps}}}))
