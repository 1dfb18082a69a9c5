"""Runs of a study: every arm, that is one method, once for each of its seeds."""

import re

RUN = re.compile(r"(.+)-seed\d+")


def expand(arms: dict[str, dict]) -> dict[str, dict]:
    """The runs by name, `ARM-seedN`, in the order of the config.

    Each has its `arm`, its `seed` and its `intervention` (None without one).
    """
    return {
        f"{arm}-seed{seed}": {
            "arm": arm,
            "seed": seed,
            "intervention": settings.get("intervention"),
        }
        for arm, settings in arms.items()
        for seed in settings["seeds"]
    }


def arm_of(run: str) -> str:
    """The arm of a run; a name of another form is an arm by itself."""
    match = RUN.fullmatch(run)
    return match[1] if match else run
