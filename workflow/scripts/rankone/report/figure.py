"""Figures by name: what each is drawn from, when, and the words beneath it.

A figure is a function under `@figure(...)` in a file of report/figures or in a plugin.
It takes its tables as data frames and returns a matplotlib figure. Planning reads these
declarations: such a file imports matplotlib where it draws, or leaves that to `style`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from inspect import cleandoc
from pathlib import Path
from typing import TYPE_CHECKING

from rankone.errors import UserError
from rankone.registry import Registry

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

SUFFIXES = (".tsv", ".parquet")
# What a study has, or may have: every one has scores. The last one is of the claims.
NEEDS = (
    *("scores", "training", "interventions", "samples", "geometry", "trajectories"),
    "calibration",
)


@dataclass(frozen=True)
class StudyFigure:
    """A figure of a study.

    `tables` are file names, in the order of the arguments of `function`; `caption` is
    reStructuredText; `category` groups figures in Snakemake's report. It is drawn where
    the study has what it `needs` (one of `NEEDS`). Unless it shows `all_arms`, its
    tables hold the base and the first arm. `sample_sizes` says whether the page gives
    the numbers of runs and benchmark items under it.
    """

    name: str
    function: Callable[..., Figure]
    tables: tuple[str, ...]
    caption: str
    category: str
    needs: str
    all_arms: bool
    sample_sizes: bool
    order: float

    @property
    def title(self) -> str:
        """The name in words."""
        return self.name.replace("_", " ")


FIGURES: Registry[StudyFigure] = Registry("The figure", "rankone.report.figures")


def figure(
    *,
    tables: Sequence[str],
    caption: str,
    category: str,
    needs: str = "scores",
    all_arms: bool = False,
    sample_sizes: bool = False,
    order: float = 1000,
) -> Callable[[Callable[..., Figure]], Callable[..., Figure]]:
    """Register the function below as the figure of its name (see StudyFigure).

    UserError for a table that is no .tsv or .parquet file, or an unknown need.
    """

    def register(function: Callable[..., Figure]) -> Callable[..., Figure]:
        name = function.__name__
        check(name, tables, needs)
        entry = StudyFigure(
            name=name,
            function=function,
            tables=tuple(tables),
            caption=cleandoc(caption),
            category=category,
            needs=needs,
            all_arms=all_arms,
            sample_sizes=sample_sizes,
            order=order,
        )
        FIGURES.add(entry, function.__module__)
        return function

    return register


def check(name: str, tables: Sequence[str], needs: str) -> None:
    """UserError where a declaration cannot be meant."""
    for table in tables:
        if Path(table).suffix not in SUFFIXES:
            raise UserError(
                f"The figure {name!r} is drawn from {table!r}; expected a list of "
                "tables such as scores.tsv or spectra.parquet."
            )
    if needs not in NEEDS:
        raise UserError(
            f"The figure {name!r} needs {needs!r}; expected one of {', '.join(NEEDS)}."
        )


def figures_of(parts: Collection[str]) -> list[StudyFigure]:
    """The figures that need one of these parts, in the order of the page."""
    return [entry for entry in FIGURES.load().values() if entry.needs in parts]


def draw(name: str, *tables: pd.DataFrame) -> Figure:
    """The figure of that name, from its tables in their order, in the shared style.

    UserError for an unknown name.
    """
    from rankone.report.style import shared_style
    from rankone.tables_io import main_arm

    entry = FIGURES[name]
    if not entry.all_arms:
        tables = tuple(map(main_arm, tables))
    with shared_style():
        return entry.function(*tables)
