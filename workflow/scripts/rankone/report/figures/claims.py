"""Figures of the claims: spectra beside nulls, verdicts, and their calibration."""

from collections.abc import Callable

import numpy as np
import pandas as pd
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from rankone.claims.table import FALSE_POSITIVES
from rankone.report.figures.spectra import LINEAR, MAX_VALUE, heavy_tails, tail_curves
from rankone.report.style import COLOURS, GREY, WIDTH, message, panel_grid
from rankone.statistics.decision_rules import (
    CONTRADICTED,
    NULL_COMPATIBLE,
    SUPPORTED,
    UNDETERMINED,
)

VERDICT_COLOURS = {
    SUPPORTED: "#0072B2",
    CONTRADICTED: "#D55E00",
    NULL_COMPATIBLE: "#777777",
    UNDETERMINED: "#BBBBBB",
}
ROW_HEIGHT = 0.26


def claims(table: pd.DataFrame) -> Figure:
    """The claims table as a picture: effects in margins, with their verdicts."""
    if table.empty:
        return message("No claim was tested.")
    figure, axes = plt.subplots(figsize=(WIDTH, 0.8 + ROW_HEIGHT * len(table)))
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
    name = plain(row["claim"])
    return f"{name} ({subject})" if subject else name


def claim_row(axes: Axes, row: pd.Series, position: int) -> None:
    """One effect with its interval, cut at the ends, and the verdict beside it."""
    colour = VERDICT_COLOURS[row["verdict"]]
    low, value, high = (
        np.clip(row[name] / row["margin"], -MAX_VALUE, MAX_VALUE)
        for name in ("low", "effect", "high")
    )
    axes.plot([low, high], [position] * 2, color=colour, lw=1.6, solid_capstyle="butt")
    axes.plot(value, position, "o", color=colour, ms=4.2)
    axes.annotate(
        row["verdict"],
        (1.01, position),
        xycoords=("axes fraction", "data"),
        va="center",
        fontsize=6.8,
        color=colour,
        weight="bold",
    )


def calibration(table: pd.DataFrame) -> Figure:
    """Share of false verdicts of every claim, one interval a scenario."""
    table = table[table["strength"] == 0]
    names = list(table["claim"].unique())
    figure, axes = plt.subplots(figsize=(WIDTH, 0.8 + ROW_HEIGHT * len(names)))
    axes.axvline(FALSE_POSITIVES, color=COLOURS["without_rank1"], ls=(0, (4, 2)))
    for position, name in enumerate(names):
        rows = table[table["claim"] == name]
        heights = position + np.linspace(-0.3, 0.3, len(rows) + 2)[1:-1]
        axes.hlines(heights, rows["low"], rows["high"], color=GREY, lw=1)
        axes.plot(rows["rate"], heights, "o", color="black", ms=2.6, clip_on=False)
    axes.set_yticks(range(len(names)), [plain(n) for n in names], fontsize=6.8)
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.set_xlim(left=0)
    axes.xaxis.set_major_formatter(PercentFormatter(1, 0))
    axes.set_xlabel("false verdicts among made-up studies without the effect")
    axes.grid(axis="x")
    return figure


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
        axes.set_title(plain(name), fontsize=5.8)
        axes.set_xlim(left=0)
        axes.grid()
    grid[0].set_ylim(-0.05, 1.05)
    grid[0].yaxis.set_major_formatter(PercentFormatter(1, 0))
    figure.supxlabel("strength of the planted effect", fontsize=8, color="#333333")
    figure.supylabel("studies that support the claim", fontsize=8, color="#333333")
    return figure


def plain(name: str) -> str:
    """A claim's name in words."""
    return name.replace("_", " ").replace("rank1", "rank 1")


CLAIM_FIGURES: dict[str, tuple[Callable[[pd.DataFrame], Figure], str]] = {
    "claims": (claims, "claims"),
    "heavy_tails": (heavy_tails, "tails_matrices"),
    "tail_curves": (tail_curves, "tails_curves"),
}
# Not of a study.
CALIBRATION_FIGURES: dict[str, Callable[[pd.DataFrame], Figure]] = {
    "calibration": calibration,
    "power": power,
}
