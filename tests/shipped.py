"""The configs in config/ with changes: as they are given, and as they are read."""

import yaml

from conftest import ROOT
from rankone.study.config import Config, read


def given(name: str = "config", **changes) -> dict:
    """The values of a config, with other ones for some of its keys."""
    text = (ROOT / "config" / f"{name}.yaml").read_text(encoding="utf-8")
    return yaml.safe_load(text) | changes


def config(name: str = "config", **changes) -> Config:
    return read(given(name, **changes))
