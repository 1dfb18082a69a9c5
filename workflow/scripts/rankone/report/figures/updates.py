"""Figures of updates: their spectra and the share of rank 1."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from rankone.report.figure import figure
from rankone.report.style import (
    COLOURS,
    GREY,
    annotate,
    colour_bar,
    heat_map,
    message,
    module_order,
    outer_labels,
    panel_grid,
    subplots,
)
from rankone.statistics.marchenko_pastur import noise_norm_share, noise_spectrum

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

BAND = (0.1, 0.9)  # quantiles over matrices
MIN_SHARE = 1e-5  # of the norm; smaller singular values are not drawn


def last_steps(table: pd.DataFrame) -> pd.DataFrame:
    """Rows of each run's last step."""
    return table[table["step"] == table.groupby("run")["step"].transform("max")]


def as_trained(table: pd.DataFrame) -> pd.DataFrame:
    """Updates against the base, seen in float32, of each run's last step."""
    seen = (table["update"] == "global") & (table["view"] == "float32")
    return last_steps(table[seen])


@figure(
    tables=["spectra.parquet"],
    category="Updates",
    order=80,
    caption="""
    Singular values of the updates over their Frobenius norm, at each run's last step,
    by module. Line: median over layers and runs; band: 10 % to 90 % of the matrices;
    the number is the median share of the first value. Dashed: independent Gaussian
    noise of the same shape (Marchenko-Pastur quantiles). Values below 0.00001 are not
    shown. Table: ``spectra.parquet``.
    """,
)
def spectra(table: pd.DataFrame) -> Figure:
    """Singular values of updates over the Frobenius norm, per module, final step."""
    table = as_trained(table)
    if table.empty:
        return message("No spectra: decompose.spectra is false.")
    share = table["sigma"] / table["frobenius_norm"]
    table = table.assign(share=share.where(table["frobenius_norm"] > 0))
    modules = module_order(table["module"])
    figure, grid = panel_grid(len(modules), columns=4, height=1.6)
    for axes, module in zip(grid, modules, strict=True):
        spectrum_panel(axes, table[table["module"] == module])
        axes.set_title(module)
    outer_labels(
        figure, "index of the singular value", "singular value / Frobenius norm"
    )
    return figure


def spectrum_panel(axes: Axes, rows: pd.DataFrame) -> None:
    """Median and band over matrices, against the spectrum of noise of that shape."""
    shares = rows.pivot(index="index", columns=["run", "tensor"], values="share")
    levels = (BAND[0], 0.5, BAND[1])
    low, median, high = np.nanquantile(shares.to_numpy(), levels, axis=1)
    colour = COLOURS["rank1"]
    axes.fill_between(shares.index, low, high, color=colour, alpha=0.2, linewidth=0)
    axes.plot(shares.index, median, color=colour)
    shape = rows[["rows", "columns"]].iloc[0]
    noise = noise_spectrum(int(shape["rows"]), int(shape["columns"]))
    axes.plot(
        np.arange(1, len(noise) + 1), noise, color=GREY, linestyle="--", linewidth=0.9
    )
    axes.set(xscale="log", yscale="log")
    # The last singular values are rounding noise and would set the whole scale.
    axes.set_ylim(max(axes.get_ylim()[0], MIN_SHARE), 2)
    axes.grid()
    first = median[0]
    axes.plot(1, first, "o", color=colour, markersize=4)
    annotate(axes, 1, first, f"{first:.2f}", offset=(5, 1), fontsize=7)
    annotate(axes, 1, noise[0], "noise", offset=(3, -6), fontsize=6.5, color="#555555")


@figure(
    tables=["matrices.tsv"],
    category="Updates",
    order=70,
    caption="""
    Share of each update's Frobenius norm that its first singular direction holds, layer
    by module, at each run's last step. The share of the energy is its square. In
    brackets: the value that independent Gaussian noise of the same shape would give
    (Marchenko-Pastur edge). A cross marks a direction that is not identifiable, because
    the first two singular values are too close. Table: ``matrices.tsv``, one row per
    matrix; no sampling is involved.
    """,
)
def rank1_share(table: pd.DataFrame) -> Figure:
    """Heat map of sigma_1 over the Frobenius norm, layer by module, final step."""
    table = as_trained(table)
    runs = sorted(table["run"].unique())
    modules = module_order(table["module"])
    figure, grid = subplots(
        len(runs),
        sharex=True,
        squeeze=False,
        height=0.6 + (0.35 + 0.19 * len(modules)) * len(runs),
    )
    for axes, run in zip(grid[:, 0], runs, strict=True):
        share_map(axes, table[table["run"] == run], modules)
    grid[-1, 0].set_xlabel("layer")
    grid[-1, 0].tick_params(labelbottom=True)
    colour_bar(figure, grid.flat, "rank-1 share of the norm")
    return figure


def share_map(axes: Axes, rows: pd.DataFrame, modules: list[str]) -> None:
    """One run's heat map; dots mark directions that are not identifiable."""
    share = rows.pivot(index="module", columns="layer", values="norm_share")
    share = share.reindex(modules)
    heat_map(axes, share)
    layers = list(share.columns)
    for row in rows[~rows["identifiable"].astype(bool)].itertuples():
        centre = layers.index(row.layer) + 0.5, modules.index(row.module) + 0.5
        axes.plot(*centre, "x", color="black", markersize=3, markeredgewidth=0.7)
    shown = range(0, len(layers), 5 if len(layers) > 12 else 1)
    axes.set_xticks([i + 0.5 for i in shown], [layers[i] for i in shown], rotation=0)
    names = []
    for module in modules:
        shape = rows.loc[rows["module"] == module, ["rows", "columns"]]
        null = f"{noise_norm_share(*shape.iloc[0]):.2f}" if len(shape) else "?"
        names.append(f"{module} ({null})")
    axes.set_yticks([i + 0.5 for i in range(len(modules))], names, rotation=0)
    axes.tick_params(length=0)
    median = rows["norm_share"].median()
    axes.set_title(
        f"{rows['run'].iloc[0]}, step {rows['step'].iloc[0]}: median {median:.2f}"
    )
    axes.set(xlabel="", ylabel="module (noise)")
