"""Runs of a study: every arm, that is one method, once for each of its seeds."""

from collections.abc import Mapping

from rankone.errors import UserError


def checkpoint_sources(
    where: str, steps: Mapping[int | str, str], seed: int
) -> dict[int, str]:
    """Sources by step, ascending, with the seed put for `{seed}`.

    `where` they are in the config. UserError for a step given twice (`10`, `"10"`).
    """
    found: dict[int, str] = {}
    for key, source in steps.items():
        step = int(key) if str(key).isdigit() else 0
        if step < 1 or step in found:
            kind = "is given twice" if step else "is no optimizer step (1, 2, ...)"
            raise UserError(f"{where}: {key!r} {kind}.")
        found[step] = source.replace("{seed}", str(seed))
    return dict(sorted(found.items()))


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
                found = checkpoint_sources(where, settings["import"]["steps"], seed)
            runs[f"{arm}-seed{seed}"] = {
                "arm": arm,
                "seed": seed,
                "intervention": settings.get("intervention"),
                "steps": trained if found is None else list(found),
                "sources": found,
            }
    return runs
