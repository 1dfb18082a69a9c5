"""Which run a training is, by content, and the code and libraries that made it.

Light: tables and the page ask whether a run was made by the code that is there now.

A manifest says of a run: `identity` (settings, base and problems), its `digest`, the
`verifiers` of the problems, and `segments`: `code` and `versions` that made the steps
after `from_step`. A run that went on with other code is mixed: it has several.
"""

import json
from collections.abc import Iterator
from pathlib import Path

from rankone import identity
from rankone.data.verifier import VERIFIERS
from rankone.files import digest, read_jsonl, replacing, sha256
from rankone.settings import read_section
from rankone.training.method import METHODS
from rankone.training.settings import TrainingSettings
from rankone.variants.grammar import parse

PACKAGES = ("torch", "transformers", "trl", "peft", "accelerate")
FIT = "rankone.training.fit:fit"
FILE = "manifest.json"
OTHER, MIXED = "made by other code", "mixed code"


def run_identity(settings: dict, base: str, problems: dict[str, str]) -> dict:
    """What decides which run it is; its name does not.

    `settings` are plain values, whose digest must not change with their types, `base`
    is the hash of the model's weights, `problems` are paths by name.
    """
    hashes = {split: sha256(path) for split, path in problems.items()}
    return {"settings": settings, "base": base, "problems": hashes}


def used_verifiers(problems: dict[str, str]) -> list[str]:
    """Names of the verifiers of problem files, sorted."""
    rows = (row for path in problems.values() for row in read_jsonl(path))
    return sorted({row["verifier"] for row in rows})


def entries(
    settings: TrainingSettings, verifiers: list[str]
) -> Iterator[identity.Root]:
    """What a run looks up by name in registries: method, verifiers, kind of variant."""
    method = METHODS[settings.method]
    yield from (method.arguments, method.trainer, method.generation)
    yield from (VERIFIERS[name].correct for name in verifiers)
    if intervention := settings.intervention:
        yield from identity.functions(parse(intervention.recipe).kind)


def made_with(
    settings: TrainingSettings, verifiers: list[str]
) -> dict[str, dict[str, str]]:
    """`code` that computes such a run now, and `versions` of the libraries under it."""
    code = identity.code(FIT, *entries(settings, verifiers))
    return {"code": code, "versions": identity.versions(PACKAGES)}


def changes(before: dict, now: dict) -> list[str]:
    """Definitions and packages that are not the same in two records of made_with().

    Packages that are not installed here are not compared: pages are made without them.
    """
    names = identity.changed(before["code"], now["code"])
    old, new = before["versions"], now["versions"]
    both = sorted(old.keys() & new.keys())
    return names + [f"{p} {old[p]} (now {new[p]})" for p in both if old[p] != new[p]]


def new_manifest(identity: dict, verifiers: list[str], made: dict) -> dict:
    """The manifest of a run that starts now."""
    return {
        "identity": identity,
        "digest": digest(identity),
        "verifiers": verifiers,
        "segments": [{"from_step": 0} | made],
    }


def read_manifest(folder: Path) -> dict | None:
    """The manifest in a folder; None without one."""
    file = folder / FILE
    return json.loads(file.read_text()) if file.exists() else None


def write_manifest(folder: Path, manifest: dict) -> None:
    """Put a manifest into a folder."""
    with replacing(folder / FILE) as temporary:
        temporary.write_text(json.dumps(manifest, indent=1, default=str))


def code_digests(manifest: dict) -> list[str]:
    """Of code and versions of every segment."""
    return [
        digest({key: segment[key] for key in ("code", "versions")})
        for segment in manifest["segments"]
    ]


def current(manifest: dict) -> dict[str, dict[str, str]]:
    """What made_with() gives for the run of a manifest, now."""
    settings = read_section(TrainingSettings, manifest["identity"]["settings"])
    return made_with(settings, manifest["verifiers"])


def code_status(manifest: dict, now: dict) -> str:
    """How a run's code stands to that of `now` (see current()); empty if the same."""
    if len(manifest["segments"]) > 1:
        return MIXED
    return OTHER if changes(manifest["segments"][-1], now) else ""
