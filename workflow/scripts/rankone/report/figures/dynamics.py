"""Figures of directions and trajectories, each from one table."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import pandas as pd

from rankone.report.figure import figure
from rankone.report.style import (
    COLOURS,
    DASHED,
    GREY,
    beside,
    colour_bar,
    forest_row,
    heat_map,
    message,
    module_order,
    panel_grid,
    run_colours,
    subplots,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SIDES = {"left": "Left vectors", "right": "Right vectors"}
SHAPES = ("square", "tall", "wide")
OVER_TIME = {
    "adjacent": "adjacent steps",
    "further": "steps further apart",
    "to_final": "each step and the last",
}
LINKS = OVER_TIME | {
    "across_layers": "layers of a module",
    "across_seeds": "the same matrix, two seeds",
}
NUMBERED_STEPS = 8  # a map of more steps has no room for its numbers


@figure(
    tables=["alignment.tsv"],
    category="Updates",
    needs="trajectories",
    order=140,
    caption="""
    Mean absolute cosine of the first singular vectors of the updates at two steps,
    above the diagonal; below it what the null gives for the same two steps: random
    walks of the shape with the measured correlation in time and the measured strength
    of the first triplet. One panel for each side and class of shapes, means over
    layers, modules and runs of the first arm. Only pairs of identifiable directions
    count; a cell is empty where there is none, or no null. Updates share what was
    learned before the earlier step, so that a high cosine is not alignment by itself.
    Table: ``alignment.tsv``, with intervals, for each module and run.
    """,
)
def alignment(table: pd.DataFrame) -> Figure:
    """Heat maps of mean |cos| between steps, a panel for each side and shape."""
    table = table[table["kind"].isin(OVER_TIME)]
    if table["cosine"].isna().all():
        return message("No two steps with identifiable directions to compare.")
    shapes = [shape for shape in SHAPES if shape in set(table["shape"])]
    figure, grid = subplots(
        *(len(SIDES), len(shapes)),
        sharex=True,
        sharey=True,
        squeeze=False,
        height=0.7 + 1.9 * len(SIDES),
    )
    for row, side in zip(grid, SIDES, strict=True):
        for axes, shape in zip(row, shapes, strict=True):
            chosen = (table["side"] == side) & (table["shape"] == shape)
            step_map(axes, table[chosen])
            axes.set_title(f"{SIDES[side]}, {shape}")
    for axes, shape in zip(grid[-1], shapes, strict=True):
        modules = module_order(table.loc[table["shape"] == shape, "module"])
        axes.set_xlabel("\n".join(["step", ", ".join(modules)]))
    colour_bar(figure, grid.flat, "mean |cos| (below the diagonal: null)")
    return figure


def step_map(axes: Axes, rows: pd.DataFrame) -> None:
    """Means over matrices above the diagonal, those of the null below it."""
    ends = rows.astype({"step": int, "other": int})
    steps = sorted({*ends["step"], *ends["other"]})
    ends = ends.groupby(["step", "other"])[["cosine", "null"]].mean()
    whole = pd.DataFrame(index=steps, columns=steps, dtype=float)
    for (first, second), cell in ends.iterrows():
        whole.loc[first, second], whole.loc[second, first] = cell
    labelled = 1 + (len(steps) - 1) // NUMBERED_STEPS
    heat_map(
        axes,
        whole,
        xticklabels=labelled,
        yticklabels=labelled,
        square=True,
        annot=len(steps) <= NUMBERED_STEPS,
        fmt=".2f",
        annot_kws={"fontsize": 5.5},
    )
    axes.tick_params(length=0, rotation=0)


@figure(
    tables=["alignment_contrast.tsv"],
    category="Updates",
    needs="trajectories",
    order=150,
    caption="""
    How much more the left first singular vectors align than the right ones, in standard
    deviations of a single pair under the null; means over pairs and matrices of the
    first arm with 95 % intervals (layers resampled, and the error of the simulated
    null). Over time the null is a random walk with the measured correlation and
    strength; across layers and seeds it is independent directions. Filled squares are
    square matrices, and these decide: in the others the vectors of the shorter side are
    the better determined ones, which the null has to take off. Left vectors align more
    if the interval lies above zero; grey: where 95 % of single pairs lie under the
    null. Right: the mean and its interval, the difference in cosine, and that of
    surrogates with the same increments in random order. Across layers only the side at
    the residual stream has a basis that layers share. Table:
    ``alignment_contrast.tsv``.
    """,
)
def alignment_contrast(table: pd.DataFrame) -> Figure:
    """Forest plot of how much more left vectors align, in units of the null."""
    from rankone.statistics.intervals import Z

    table = table.dropna(subset="z")
    kinds = [kind for kind in LINKS if kind in set(table["kind"])]
    if not kinds:
        return message("No pairs of identifiable directions with a null to compare.")
    figure, axes = subplots(height=0.6 + 0.72 * len(kinds))
    axes.axvspan(-Z, Z, color=GREY, alpha=0.13, linewidth=0)
    axes.axvline(0, color=GREY, linewidth=0.9, linestyle=DASHED)
    ticks = {}
    for top, kind in zip(range(0, 4 * len(kinds), 4), kinds, strict=True):
        ticks[top] = LINKS[kind]
        for row in table[table["kind"] == kind].itertuples():
            position = top + 1 + SHAPES.index(row.shape)
            ticks[position] = row.shape
            contrast_interval(axes, row, position)
    axes.set_yticks(list(ticks), list(ticks.values()))
    for label in axes.get_yticklabels():
        label.set_fontweight("bold" if label.get_text() in LINKS.values() else "normal")
    axes.set_ylim(4 * len(kinds) - 0.4, -0.7)
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="x")
    axes.set_xlabel("left minus right |cos|, in standard deviations of the null")
    return figure


def contrast_interval(axes: Axes, row: NamedTuple, position: float) -> None:
    """One class of shapes: square matrices, which decide, in colour."""
    decides = row.shape == "square"
    colour = COLOURS["rank1"] if decides else GREY
    forest_row(
        axes,
        position,
        row.z,
        (row.z_low, row.z_high),
        colour=colour,
        marker="s" if decides else "o",
        markerfacecolor=colour if decides else "white",
    )
    bounds = "" if pd.isna(row.z_low) else f" [{row.z_low:.2f}, {row.z_high:.2f}]"
    shuffled = "" if pd.isna(row.shuffled) else f" ({row.shuffled:+.2f} shuffled)"
    beside(axes, position, f"{row.z:+.2f}{bounds}, |cos| {row.delta:+.2f}{shuffled}")


TRAJECTORY_PANELS = {
    "first_component_share": "First component: share of energy",
    "linearity_r2": "Its coefficient: R\u00b2 on the step",
    "extrapolation_r2": "R\u00b2 on later steps, out of sample",
    "linear_share": "Weights with R\u00b2 above 0.7",
}


@figure(
    tables=["trajectory_matrices.parquet"],
    category="Updates",
    needs="trajectories",
    order=160,
    caption=r"""
    The updates of each matrix at the exported steps as one trajectory: the share of its
    first component (of the stacked, flattened updates, nothing centred) in the energy;
    R\ :sup:`2` of that component's coefficient on the step; R\ :sup:`2` of a line
    through the earlier half of the coefficients on the later half (-1 or less is drawn
    as -1); and the share of single weights whose R\ :sup:`2` on the step is above 0.7.
    One dot per matrix, layers from left to right within a module, one colour per run of
    the first arm. Grey: median and 95 % band of random walks with the same steps and as
    many weights, which look linear as well; dotted: median of walks with Adam's
    momentum, which look more so. "Rank 1" of a trajectory is not that of a matrix.
    Table: ``trajectory_matrices.parquet``; ``trajectory.tsv`` has the means with
    intervals.
    """,
)
def trajectory(table: pd.DataFrame) -> Figure:
    """Statistics of each matrix's trajectory beside the band of random walks."""
    known = table.dropna(subset="value")
    panels = [name for name in TRAJECTORY_PANELS if name in set(known["statistic"])]
    if known["steps"].max() < 3 or not panels:
        return message("Fewer than three exported steps: a trajectory has no shape.")
    modules = module_order(known["module"])
    figure, grid = panel_grid(len(panels), columns=2, height=1.7, sharey=False)
    for axes, name in zip(grid, panels, strict=True):
        trajectory_panel(axes, known[known["statistic"] == name], modules)
        axes.set_title(TRAJECTORY_PANELS[name])
        if name == "extrapolation_r2":
            axes.set_ylim(-1.1, 1.1)
    return figure


def trajectory_panel(axes: Axes, rows: pd.DataFrame, modules: list[str]) -> None:
    """A dot for each matrix, layers from left to right; grey: the null and its band."""
    last = max(rows["layer"].max(), 1)
    for run, colour in run_colours(rows).items():
        own = rows[rows["run"] == run]
        x = own["module"].map(modules.index) + 0.7 * (own["layer"] / last - 0.5)
        axes.plot(x, own["value"], ".", color=colour, markersize=3, markeredgewidth=0)
    for place, module in enumerate(modules):
        null = rows.loc[rows["module"] == module, ["null_low", "null", "null_high"]]
        low, middle, high = null.mean()
        ends = [place - 0.45, place + 0.45]
        axes.fill_between(ends, low, high, color=GREY, alpha=0.25, linewidth=0)
        axes.plot(ends, [middle] * 2, color=GREY, linewidth=0.9)
        momentum = rows.loc[rows["module"] == module, "momentum"].mean()
        axes.plot(ends, [momentum] * 2, color=GREY, linewidth=0.9, linestyle=":")
    axes.set_xticks(range(len(modules)), [name.split("_")[0] for name in modules])
    axes.tick_params(axis="x", length=0)
    axes.grid(axis="y")
