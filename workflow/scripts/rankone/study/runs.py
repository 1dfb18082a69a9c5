"""Runs of a study: every arm, that is one method, once for each of its seeds."""

from collections.abc import Mapping
from dataclasses import dataclass

from rankone.errors import UserError


@dataclass(frozen=True)
class Run:
    """One trajectory: of an arm, with a seed, exported or imported at `steps`.

    `intervention` is None without one. `sources` are what is imported, by step; None
    for a run that is trained here.
    """

    arm: str
    seed: int
    steps: list[int]
    intervention: dict | None = None
    sources: dict[int, str] | None = None

    @property
    def trained(self) -> bool:
        return self.sources is None


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


def expand(config: dict) -> dict[str, Run]:
    """The runs by name, `ARM-seedN`, in the order of the config; steps ascend."""
    trained = sorted(config.get("schedule", {}).get("export_steps", ()))
    runs = {}
    for arm, settings in config["arms"].items():
        for seed in settings.get("seeds", [0]):
            sources = None
            if "import" in settings:
                where = f"arms.{arm}.import.steps"
                sources = checkpoint_sources(where, settings["import"]["steps"], seed)
            runs[f"{arm}-seed{seed}"] = Run(
                arm=arm,
                seed=seed,
                steps=trained if sources is None else list(sources),
                intervention=settings.get("intervention"),
                sources=sources,
            )
    return runs
