"""Runs of a study: every arm, that is one method, once for each of its seeds."""

import re

from rankone.imports import sources

RUN = re.compile(r"(.+)-seed\d+")


def expand(config: dict) -> dict[str, dict]:
    """The runs by name, `ARM-seedN`, in the order of the config.

    Each has its `arm`, its `seed`, its `intervention` (None without one), its `steps`,
    ascending, and its `sources`: what is imported by step, None for a run that is
    trained here.
    """
    trained = sorted(config.get("schedule", {}).get("export_steps", ()))
    runs = {}
    for arm, settings in config["arms"].items():
        for seed in settings.get("seeds", [0]):
            found = None
            if "import" in settings:
                where = f"arms.{arm}.import.steps"
                found = sources(where, settings["import"]["steps"], seed)
            runs[f"{arm}-seed{seed}"] = {
                "arm": arm,
                "seed": seed,
                "intervention": settings.get("intervention"),
                "steps": trained if found is None else list(found),
                "sources": found,
            }
    return runs


def arm_of(run: str) -> str:
    """The arm of a run; a name of another form is an arm by itself."""
    match = RUN.fullmatch(run)
    return match[1] if match else run
