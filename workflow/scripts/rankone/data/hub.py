"""What a study takes from the Hugging Face hub: repositories at pinned commits."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from rankone.data.settings import Place
from rankone.data.source import source_of
from rankone.errors import UserError

if TYPE_CHECKING:
    from rankone.evaluation.settings import Benchmark
    from rankone.study.config import Config
    from rankone.weights.settings import Model

ELSEWHERE = (
    "Run this where the hub can be reached (HF_ENDPOINT names a mirror), or name a "
    "local folder."
)
COMMIT = re.compile(r"[0-9a-f]{40}")
# Weights as safetensors and what a model needs beside them; never pickles or scripts.
FILES = {
    "models": {
        "allow_patterns": ["*.safetensors", "*.json", "*.jinja", "*.model", "*.txt"]
    },
    "datasets": {"ignore_patterns": ["*.py"]},
}


def hub_repositories(
    config: Config,
) -> Iterator[tuple[str, Model | Place | Benchmark]]:
    """Kind, `models` or `datasets`, and what names it, of all with `hub`."""
    problems = source_of(config.problems).inputs(config.problems)
    for kind, places in (
        ("models", [config.model]),
        ("datasets", [*problems.values(), *config.benchmarks.values()]),
    ):
        yield from ((kind, place) for place in places if place.hub)


def assets(config: Config) -> dict[str, str]:
    """Revisions by `KIND/OWNER/NAME`; UserError for one repository at two revisions."""
    found: dict[str, str] = {}
    for kind, source in hub_repositories(config):
        name = f"{kind}/{source.hub}"
        if found.setdefault(name, source.revision) != source.revision:
            raise UserError(
                f"{source.hub} is asked for at two revisions, {found[name]} and "
                f"{source.revision}; one study uses one."
            )
    return found


def check_pinned(config: Config) -> None:
    """Raise UserError for a revision that is no commit: it could change overnight."""
    for name, revision in assets(config).items():
        if not COMMIT.fullmatch(revision):
            raise UserError(
                f"{name.partition('/')[2]} is at the revision {revision!r}, which is "
                "not a commit. Write the commits that branches are at now into your "
                "config with `python workflow/scripts/pin.py YOUR_CONFIG.yaml`."
            )


def download(asset: str, revision: str, folder: str | Path) -> None:
    """Put the files of `KIND/OWNER/NAME` at a revision into a folder."""
    # Jobs are offline but for this one; the library reads this when it is imported.
    os.environ["HF_HUB_OFFLINE"] = "0"
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HTTPError

    kind, _, repository = asset.partition("/")
    try:
        snapshot_download(
            repository,
            repo_type=kind.removesuffix("s"),
            revision=revision,
            local_dir=folder,
            **FILES[kind],
        )
    except (OSError, ValueError, HTTPError) as error:
        raise UserError(
            f"Cannot download {repository} at {revision}: {error}. {ELSEWHERE}"
        ) from error
    shutil.rmtree(Path(folder) / ".cache", ignore_errors=True)


def commit(kind: str, repository: str, revision: str) -> str:
    """The commit that a branch, a tag or a commit of a repository is at now."""
    os.environ["HF_HUB_OFFLINE"] = "0"
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HTTPError

    kind = kind.removesuffix("s")
    try:
        return HfApi().repo_info(repository, repo_type=kind, revision=revision).sha
    except (OSError, HTTPError) as error:
        raise UserError(
            f"Cannot look up {repository} at {revision}: {error}. {ELSEWHERE}"
        ) from None


def pin(text: str) -> tuple[str, list[tuple[str, str, str]]]:
    """A config's text with commits for revisions, and (repository, revision, commit).

    Only the revisions are replaced, so comments and layout stay.
    """
    import yaml

    pinned = []
    for kind, repository, node in reversed(list(revisions(yaml.compose(text)))):
        if COMMIT.fullmatch(node.value):
            continue
        found = commit(kind, repository, node.value)
        text = text[: node.start_mark.index] + found + text[node.end_mark.index :]
        pinned.append((repository, node.value, found))
    return text, pinned[::-1]


def revisions(node, kind: str = "datasets") -> Iterator[tuple]:
    """Kind, repository and node of every `revision` beside a `hub` in a YAML tree."""
    if node.id != "mapping":
        return
    pairs = {key.value: value for key, value in node.value}
    if {"hub", "revision"} <= pairs.keys():
        yield kind, pairs["hub"].value, pairs["revision"]
    for key, value in pairs.items():
        yield from revisions(value, "models" if key == "model" else kind)
