"""Figures of heavy tails."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from rankone.report.figure import figure
from rankone.report.style import (
    COLOURS,
    DASHED,
    GREY,
    message,
    module_order,
    outer_labels,
    panel_grid,
    subplots,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MODULE_COLOURS = (
    *("#0072B2", "#56B4E9", "#009E73", "#00654B"),
    *("#D55E00", "#E69F00", "#CC79A7"),
)
# Object, null, colour and style of the lines of a spectrum.
LINES = {
    ("base", ""): ("base", GREY, "-"),
    ("trained", ""): ("trained", "black", (0, (1, 1))),
    ("update", ""): ("update", COLOURS["rank1"], "-"),
    ("update", "scale_matched"): ("its scales alone", COLOURS["shrunk"], "--"),
    ("update", "shuffled"): ("its entries shuffled", COLOURS["random_rank1"], ":"),
}


@figure(
    tables=["tails_matrices.parquet"],
    category="Updates",
    needs="geometry",
    order=120,
    caption="""
    Heavy tails. Hill's exponent of the density of eigenvalues (largest tenth), one dot
    a matrix at the last step; the dashed line is equality, below it a tail is heavier.
    Left: the trained weights against the base: what training did to their spectra.
    Right: the update against Gaussian noise with the same scales of rows and columns,
    mean of its draws. Table: ``tails_matrices.parquet``, with every statistic and null;
    means over layers are in ``tails.tsv``.
    """,
)
def heavy_tails(table: pd.DataFrame) -> Figure:
    """Hill's alpha of W_t against W_0, and of the update against its own scales."""
    table = table[table["statistic"] == "hill_alpha"]
    if table.empty:
        return message("No spectra were analysed.")
    figure, grid = subplots(1, 2, height=2.9)
    pairs = {
        ("trained", "base"): ("base $W_0$", "trained $W_t$", "Weights"),
        ("update", "scale_matched"): (
            "noise with the same row and column scales",
            "update $W_t - W_0$",
            "Updates",
        ),
    }
    for axes, ((kind, null), labels) in zip(grid, pairs.items(), strict=True):
        rows = table[(table["object"] == kind) & (table["null"] == null)]
        against(axes, rows)
        axes.set_xlabel(f"α of the {labels[0]}" if kind == "trained" else labels[0])
        axes.set_ylabel(f"α of the {labels[1]}")
        axes.set_title(labels[2])
    grid[1].legend(loc="upper left", frameon=False, fontsize=6.5, handletextpad=0.1)
    return figure


def against(axes: Axes, rows: pd.DataFrame) -> None:
    """One dot a matrix: its value against that of its null; below: heavier."""
    for colour, module in zip(
        MODULE_COLOURS, module_order(rows["module"].unique()), strict=False
    ):
        own = rows[rows["module"] == module]
        axes.scatter(
            *(own["null_mean"], own["value"]),
            **{"s": 7, "color": colour, "alpha": 0.75, "lw": 0},
            label=module.removesuffix("_proj"),
        )
    ends = rows[["value", "null_mean"]].stack().quantile([0, 1])
    axes.plot(ends, ends, color=GREY, lw=0.8, ls=DASHED, zorder=0)
    axes.grid()


@figure(
    tables=["tails_curves.parquet"],
    category="Updates",
    needs="geometry",
    order=130,
    caption="""
    Spectra of the middle layer. Share of eigenvalues (squared singular values) that are
    larger than a size, for base, trained weights and update, beside one draw each of
    noise with the update's scales of rows and columns and of the update with its
    entries shuffled. A power law is a straight line. Table: ``tails_curves.parquet``.
    """,
)
def tail_curves(table: pd.DataFrame) -> Figure:
    """Share of eigenvalues beyond a size, for the matrices of the middle layer."""
    if table.empty:
        return message("No spectra were analysed.")
    modules = module_order(table["module"].unique())
    figure, grid = panel_grid(len(modules), height=1.5)
    for axes, module in zip(grid, modules, strict=True):
        rows = table[table["module"] == module]
        for (kind, null), (label, colour, style) in LINES.items():
            own = rows[(rows["object"] == kind) & (rows["null"] == null)]
            beyond(axes, own["sigma"].to_numpy(), label, color=colour, ls=style)
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.set_xlim(left=0.03)
        axes.set_title(module.removesuffix("_proj"))
    figure.legend(
        *grid[0].get_legend_handles_labels(),
        loc="lower right",
        bbox_to_anchor=(0.97, 0.1),
        frameon=False,
    )
    outer_labels(figure, "eigenvalue over their mean", "share of larger ones")
    return figure


def beyond(axes: Axes, sigma: np.ndarray, label: str, **style) -> None:
    """The complementary distribution function of squared singular values."""
    values = np.sort(np.square(sigma))[::-1]
    shares = np.arange(1, len(values) + 1) / len(values)
    axes.plot(values / values.mean(), shares, lw=1.1, label=label, **style)
