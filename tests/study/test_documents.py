"""What is made from the typed config: the JSON schema and the table of keys."""

import pytest
import yaml
from jsonschema import Draft202012Validator

from conftest import ROOT
from rankone.study import documents
from rankone.study.config import Config

SCHEMA = yaml.safe_load(documents.schema_text())
CONFIGS = sorted((ROOT / "config").glob("*.yaml"))
KEYS = dict(documents.keys(Config))


def errors(config: dict) -> list:
    return list(Draft202012Validator(SCHEMA).iter_errors(config))


def test_the_committed_files_are_those_of_the_models():
    again = "run `python -m rankone.study.documents`"
    schema = (ROOT / documents.SCHEMA).read_text(encoding="utf-8")
    assert schema == documents.schema_text(), again
    readme = (ROOT / documents.README).read_text(encoding="utf-8")
    assert readme == documents.readme_text(readme), again


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.name)
def test_the_schema_accepts_a_shipped_config(path):
    assert not errors(yaml.safe_load(path.read_text()))


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("typo", 1),
        ("model", {"hub": "owner/model"}),
        ("model", {"path": None}),
        ("model", {"path": "here", "parameters": 3}),
        ("variants", ["rank1"]),
        ("variants", ["full", "full"]),
        ("arms", {"full": {"seeds": []}}),
        ("problems", {"sizes": {}}),
        ("others", "both"),
    ],
)
def test_the_schema_refuses_what_the_models_refuse(key, value):
    config = yaml.safe_load((ROOT / "config" / "config.yaml").read_text())
    assert errors(config | {key: value})


@pytest.mark.parametrize("name", KEYS)
def test_every_key_is_described(name):
    assert KEYS[name].description


def test_a_key_below_names_or_in_a_list_is_in_the_table_once():
    assert {"arms.*.intervention.period", "problems.mixture.*.digits"} <= KEYS.keys()
    assert "problems.datasets.train.question" in KEYS
    assert "problems.datasets.shifted.question" not in KEYS


def test_a_default_is_written_as_in_a_config():
    table = documents.key_table()
    assert "| `probes.every` |" in table and "| null |" in table
    assert "| `[global]` |" in table and "| `float32` |" in table


def test_nothing_outside_the_markers_changes():
    text = f"before\n{documents.BEGIN}stale rows{documents.END}after\n"
    found = documents.readme_text(text)
    assert found.startswith("before\n") and found.endswith("after\n")
    assert "stale rows" not in found and documents.readme_text(found) == found


def objects(schema):
    """Every object schema with named properties."""
    if isinstance(schema, dict):
        if isinstance(schema.get("properties"), dict):
            yield schema
        for value in schema.values():
            yield from objects(value)


def test_no_object_lets_unknown_keys_through():
    found = list(objects(SCHEMA))
    assert len(found) > 10
    assert all(o["additionalProperties"] is False for o in found)
