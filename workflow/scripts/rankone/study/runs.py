"""Runs of a study: every arm, that is one method, once for each of its seeds."""

from collections.abc import Mapping
from dataclasses import dataclass

from rankone.errors import UserError
from rankone.study.config import Config
from rankone.training.settings import Intervention


@dataclass(frozen=True)
class Run:
    """One trajectory: of an arm, with a seed, exported or imported at `steps`.

    `intervention` is None without one. `sources` are what is imported, by step; None
    for a run that is trained here.
    """

    arm: str
    seed: int
    steps: list[int]
    intervention: Intervention | None = None
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


def expand(config: Config) -> dict[str, Run]:
    """The runs by name, `ARM-seedN`, in the order of the config; steps ascend."""
    trained = sorted(config.schedule.export_steps) if config.schedule else []
    runs = {}
    for arm, settings in config.arms.items():
        for seed in settings.seeds:
            sources = None
            if settings.import_:
                where = f"arms.{arm}.import.steps"
                sources = checkpoint_sources(where, settings.import_.steps, seed)
            runs[f"{arm}-seed{seed}"] = Run(
                arm=arm,
                seed=seed,
                steps=trained if sources is None else list(sources),
                intervention=settings.intervention,
                sources=sources,
            )
    return runs
