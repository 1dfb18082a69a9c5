"""The schema: shipped configs pass, typos do not, every key is documented."""

import pytest
import yaml
from jsonschema import Draft202012Validator

from conftest import ROOT

SCHEMA = yaml.safe_load(
    (ROOT / "workflow" / "schemas" / "config.schema.yaml").read_text()
)
CONFIGS = sorted((ROOT / "config").glob("*.yaml"))


def errors(config) -> list[str]:
    return [error.message for error in Draft202012Validator(SCHEMA).iter_errors(config)]


def embedded() -> dict:
    return yaml.safe_load((ROOT / "config" / "config.yaml").read_text())


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.name)
def test_a_shipped_config_is_valid(path):
    assert not errors(yaml.safe_load(path.read_text()))


@pytest.mark.parametrize(
    "place",
    [(), ("model",), ("schedule",), ("arms", "full"), ("probes",)],
)
def test_an_unknown_key_is_refused(place):
    config = embedded()
    target = config
    for key in place:
        target = target[key]
    target["typo"] = 1
    assert any("'typo' was unexpected" in message for message in errors(config))


@pytest.mark.parametrize("name", ["base", "all", "Upper", "a_b", "-a"])
def test_an_arm_name_that_would_clash_or_break_paths_is_refused(name):
    assert errors(embedded() | {"arms": {name: {"seeds": [0]}}})


def test_a_hub_repository_needs_a_revision():
    assert errors(embedded() | {"model": {"hub": "org/model"}})
    assert not errors(embedded() | {"model": {"hub": "org/model", "revision": "main"}})
    benchmark = {"domain": "mathematics", "metric": "acc", "hub": "org/data"}
    assert errors(embedded() | {"benchmarks": {"aime24": benchmark}})


def test_the_size_of_a_model_is_given_for_a_hub_model_alone():
    local = {"path": "model", "parameters": 1000}
    assert errors(embedded() | {"model": local})


def test_an_import_has_steps_and_may_stand_without_a_schedule():
    alone = embedded() | {"arms": {"a": {"import": {"steps": {10: "folder"}}}}}
    del alone["schedule"]
    assert not errors(alone)
    assert errors(embedded() | {"arms": {"a": {"import": {}}}})
    assert errors(embedded() | {"arms": {"a": {"import": {"steps": {}}}}})


def test_the_full_update_must_be_evaluated():
    assert errors(embedded() | {"variants": ["rank1"]})


def keys(schema, prefix=""):
    """Dotted names of every key of an object schema."""
    for name, value in schema.get("properties", {}).items():
        yield prefix + name, value
        yield from keys(value, f"{prefix}{name}.")
        if isinstance(value.get("additionalProperties"), dict):
            yield from keys(value["additionalProperties"], f"{prefix}{name}.*.")


@pytest.mark.parametrize(("name", "schema"), list(keys(SCHEMA)))
def test_every_key_is_described_here_and_in_the_readme(name, schema):
    assert schema["description"]
    assert f"`{name}`" in (ROOT / "config" / "README.md").read_text()


def objects(schema):
    """Every object schema with named properties."""
    if isinstance(schema, dict):
        if "properties" in schema:
            yield schema
        for value in schema.values():
            yield from objects(value)


def test_no_object_lets_unknown_keys_through_but_problems_whose_source_has_its_own():
    loose = [o for o in objects(SCHEMA) if o["additionalProperties"] is not False]
    assert loose == [SCHEMA["properties"]["problems"]]
