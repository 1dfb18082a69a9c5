"""Figures of the claims: their verdicts, and how these were calibrated."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from rankone.report.figure import figure
from rankone.report.style import (
    COLOURS,
    DASHED,
    GREY,
    accuracy_axis,
    beside,
    forest_row,
    message,
    outer_labels,
    panel_grid,
    subplots,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

ROW_HEIGHT = 0.26
# Effects are drawn in margins, linear up to this many and logarithmic beyond.
LINEAR, MAX_VALUE = 2, 300


@figure(
    tables=["claims.tsv"],
    category="Claims",
    all_arms=True,
    order=10,
    caption="""
    Claims. Effect of each in units of its smallest effect of interest (shaded: within
    it), with the interval; linear up to two, logarithmic beyond. Right of zero speaks
    for the claim. Colours are verdicts. Table: ``claims.tsv``.
    """,
)
def claims(table: pd.DataFrame) -> Figure:
    """The claims table as a picture: effects in margins, with their verdicts."""
    if table.empty:
        return message("No claim was tested.")
    figure, axes = subplots(height=0.8 + ROW_HEIGHT * len(table))
    axes.axvspan(-1, 1, color="#eeeeee", lw=0)
    axes.axvline(0, color=GREY, lw=0.8)
    for position, (_, row) in enumerate(table.iterrows()):
        claim_row(axes, row, position)
    labels = [claim_label(row) for _, row in table.iterrows()]
    axes.set_yticks(range(len(table)), labels, fontsize=6.8)
    axes.set_ylim(len(table) - 0.4, -0.6)
    axes.set_xscale("symlog", linthresh=LINEAR)
    axes.set_xlim(-MAX_VALUE, MAX_VALUE)
    axes.set_xticks(
        [-100, -10, -1, 1, 10, 100], ["-100", "-10", "-1", "1", "10", "100"]
    )
    axes.tick_params(axis="y", length=0)
    axes.set_xlabel(
        "effect in smallest effects of interest; right: speaks for the claim"
    )
    return figure


def claim_label(row: pd.Series) -> str:
    """The claim's name and subject."""
    subject = row["subject"] if isinstance(row["subject"], str) else ""
    name = claim_title(row["claim"])
    return f"{name} ({subject})" if subject else name


def verdict_colours() -> dict[str, str]:
    """The colour of each verdict."""
    from rankone.statistics.decision_rules import (
        CONTRADICTED,
        NULL_COMPATIBLE,
        SUPPORTED,
        UNDETERMINED,
    )

    return {
        SUPPORTED: "#0072B2",
        CONTRADICTED: "#D55E00",
        NULL_COMPATIBLE: "#777777",
        UNDETERMINED: "#BBBBBB",
    }


def claim_row(axes: Axes, row: pd.Series, position: int) -> None:
    """One effect with its interval, cut at the ends, and the verdict beside it."""
    colour = verdict_colours()[row["verdict"]]
    low, value, high = (
        np.clip(row[name] / row["margin"], -MAX_VALUE, MAX_VALUE)
        for name in ("low", "effect", "high")
    )
    line = {"linewidth": 1.6, "solid_capstyle": "butt"}
    forest_row(
        axes, position, value, (low, high), colour=colour, line=line, markersize=4.2
    )
    words = {"fontsize": 6.8, "color": colour, "weight": "bold"}
    beside(axes, position, row["verdict"], **words)


@figure(
    tables=["calibration.tsv"],
    category="Claims",
    needs="calibration",
    all_arms=True,
    caption="""
    Share of false verdicts on every claim, with its interval, one line per kind of
    simulated study without the effect. Dashed: the rate that is allowed. Table:
    ``calibration.tsv``.
    """,
)
def calibration(table: pd.DataFrame) -> Figure:
    """Share of false verdicts of every claim, one interval a scenario."""
    from rankone.claims.table import FALSE_POSITIVES

    table = table[table["strength"] == 0]
    names = list(table["claim"].unique())
    figure, axes = subplots(height=0.8 + ROW_HEIGHT * len(names))
    axes.axvline(FALSE_POSITIVES, color=COLOURS["without_rank1"], ls=DASHED)
    for position, name in enumerate(names):
        rows = table[table["claim"] == name]
        heights = position + np.linspace(-0.3, 0.3, len(rows) + 2)[1:-1]
        axes.hlines(heights, rows["low"], rows["high"], color=GREY, lw=1)
        axes.plot(rows["rate"], heights, "o", color="black", ms=2.6, clip_on=False)
    axes.set_yticks(range(len(names)), [claim_title(n) for n in names], fontsize=6.8)
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.set_xlim(left=0)
    accuracy_axis(axes.xaxis, "%")
    axes.set_xlabel("false verdicts among made-up studies without the effect")
    axes.grid(axis="x")
    return figure


@figure(
    tables=["calibration.tsv"],
    category="Claims",
    needs="calibration",
    all_arms=True,
    caption="""
    Share of simulated studies that support a claim, with its interval, against the
    strength of the planted effect. Table: ``calibration.tsv``.
    """,
)
def power(table: pd.DataFrame) -> Figure:
    """Share of made-up studies that support a claim, against the planted effect."""
    table = table[table["strength"] > 0]
    names = list(table["claim"].unique())
    figure, grid = panel_grid(len(names), columns=4, height=1.05, sharex=False)
    for axes, name in zip(grid, names, strict=True):
        rows = table[table["claim"] == name].sort_values("strength")
        axes.fill_between(
            *(rows["strength"], rows["low"], rows["high"]),
            **{"color": COLOURS["rank1"], "alpha": 0.15, "lw": 0},
        )
        axes.plot(rows["strength"], rows["rate"], "o-", ms=2.5, color=COLOURS["rank1"])
        axes.set_title(claim_title(name), fontsize=5.8)
        axes.set_xlim(left=0)
        axes.grid()
    grid[0].set_ylim(-0.05, 1.05)
    accuracy_axis(grid[0].yaxis, "%")
    outer_labels(
        figure, "strength of the planted effect", "studies that support the claim"
    )
    return figure


def claim_title(name: str) -> str:
    """A claim's name in words."""
    return name.replace("_", " ").replace("rank1", "rank 1")
