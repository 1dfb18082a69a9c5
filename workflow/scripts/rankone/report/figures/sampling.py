"""Figures of sampled answers and of knowledge: pass@k, forgetting, what is retained.

Variants are of the first arm; the other arms are drawn as their trained models, hollow
where they had an intervention, with colour and marker of its recipe.
"""

from collections.abc import Callable
from dataclasses import dataclass

import pandas as pd
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FormatStrFormatter, MaxNLocator, NullLocator

from rankone.names import (
    ALL_RUNS,
    BASE,
    FULL,
    HELD_OUT,
    KNOWLEDGE,
    MATHEMATICS,
    MEAN,
    SHIFTED,
)
from rankone.report.style import (
    COLOURS,
    GREY,
    PANELS,
    WIDTH,
    accuracy_axis,
    annotate,
    arms_of,
    message,
    panel_grid,
    point_labels,
    variant_colour,
    variant_label,
    variant_marker,
    variant_order,
)

DASHED, DOTTED = (0, (4, 2)), (0, (1, 1.5))
RETENTION_PANELS = [(MATHEMATICS, HELD_OUT), (MATHEMATICS, SHIFTED), (KNOWLEDGE, MEAN)]


@dataclass(frozen=True)
class Look:
    """How an arm's variant is named and drawn."""

    label: str
    colour: str
    marker: str
    face: str


def looks(table: pd.DataFrame) -> dict[tuple[str, str], Look]:
    """The look of every arm and variant but the base, in order."""
    arms, found = arms_of(table), {}
    for arm in arms:
        rows = table[table["arm"] == arm]
        recipe = rows["recipe"].iloc[0] if "recipe" in rows else None
        for variant in variant_order(rows["variant"]):
            label = variant_label(variant)
            if arm != arms[0]:
                label = f"arm {arm}" + (f", {label}" if variant != FULL else "")
            name = variant if pd.isna(recipe) else recipe
            colour = variant_colour(name)
            face = colour if pd.isna(recipe) else "white"
            found[arm, variant] = Look(label, colour, variant_marker(name), face)
    return found


def pass_at_k(table: pd.DataFrame, null: pd.DataFrame) -> Figure:
    """pass@k of every variant over the base's, with the band of an unchanged model."""
    base = table[table["run"] == BASE]
    table, null = (rows[rows["run"] == ALL_RUNS] for rows in (table, null))
    found = looks(table)
    figure, grid = panel_grid(len(found))
    for axes, ((arm, variant), look) in zip(grid, found.items(), strict=True):
        own, unchanged = (
            rows[(rows["arm"] == arm) & (rows["variant"] == variant)]
            for rows in (table, null)
        )
        axes.plot(base["k"], base["value"], color=GREY, label="base")
        dots = {"color": GREY, "linewidth": 0.9, "linestyle": DOTTED}
        axes.plot(unchanged["k"], unchanged["low"], label="if unchanged", **dots)
        axes.plot(unchanged["k"], unchanged["high"], **dots)
        band(axes, own["k"], own, look.colour, alpha=0.13)
        axes.plot(own["k"], own["value"], "o-", color=look.colour, markersize=2.5)
        axes.set_title(look.label)
        axes.grid(axis="y")
        accuracy_axis(axes.yaxis)
    grid[0].legend(frameon=False, fontsize=7)
    grid[0].set_xscale("log", base=2)
    grid[0].xaxis.set_major_locator(FixedLocator(base["k"]))
    grid[0].xaxis.set_major_formatter(FormatStrFormatter("%d"))
    grid[0].xaxis.set_minor_locator(NullLocator())
    figure.supxlabel("k", fontsize=8, color="#333333")
    figure.supylabel("pass@k", fontsize=8, color="#333333")
    return figure


def band(axes: Axes, x: pd.Series, rows: pd.DataFrame, colour: str, **fill) -> None:
    """The intervals of a curve."""
    axes.fill_between(x, rows["low"], rows["high"], color=colour, linewidth=0, **fill)


def forgetting(points: pd.DataFrame, curve: pd.DataFrame) -> Figure:
    """Knowledge lost against the KL from the base, with the curve through all."""
    if points.empty:
        return message(
            "No curve of forgetting: it needs knowledge benchmarks, and three variants "
            "that were sampled with different KL."
        )
    figure, axes = plt.subplots(figsize=(WIDTH, 3.6))
    axes.axhline(0, color=GREY, linewidth=0.8, linestyle=DASHED)
    values = 100 * curve[["value", "low", "high"]]
    band(axes, curve["kl"], values, GREY, alpha=0.15)
    axes.plot(curve["kl"], values["value"], color=GREY)
    found = looks(points)
    points = points.set_index(["arm", "variant"]).loc[list(found)]
    heights = 100 * points[["forgetting", "low", "high"]]
    for key, look in found.items():
        point, height = points.loc[key], heights.loc[key]
        axes.plot(
            [point["kl_low"], point["kl_high"]],
            [height["forgetting"]] * 2,
            color=look.colour,
            linewidth=1,
        )
        axes.plot(
            [point["kl"]] * 2,
            [height["low"], height["high"]],
            color=look.colour,
            linewidth=1,
        )
        dot(axes, point["kl"], height["forgetting"], look)
    labels = {key: (look.label, look.colour) for key, look in found.items()}
    axes.set_xlim(left=0)
    point_labels(axes, points["kl_high"], heights["forgetting"], labels)
    axes.set_xlabel("KL from the base (nats an answer)")
    axes.set_ylabel("knowledge lost (points)")
    fit = curve.iloc[0]
    # Without any forgetting there is no variance to explain.
    if not pd.isna(fit["r2"]):
        axes.set_title(
            f"R² of the curve: {fit['r2']:.2f}; "
            f"each variant predicted from the others: {fit['r2_out']:.2f}"
        )
    return figure


def dot(axes: Axes, x: float, y: float, look: Look) -> None:
    """A variant's point."""
    axes.plot(
        *(x, y, look.marker),
        color=look.colour,
        markerfacecolor=look.face,
        markersize=4.8,
        markeredgewidth=0.9,
        zorder=3,
    )


def retention(table: pd.DataFrame) -> Figure:
    """Differences to the base with both intervals, and the margin of equivalence."""
    table = table[table["run"] == ALL_RUNS]
    have = set(zip(table["domain"], table["benchmark"], strict=True))
    panels = [panel for panel in RETENTION_PANELS if panel in have]
    if not panels:
        return message("None of the benchmarks of this chart was evaluated.")
    found = looks(table)
    figure, grid = plt.subplots(
        1,
        len(panels),
        sharey=True,
        squeeze=False,
        figsize=(WIDTH, 0.8 + 0.22 * len(found)),
    )
    for axes, (domain, benchmark) in zip(grid[0], panels, strict=True):
        rows = table[(table["domain"] == domain) & (table["benchmark"] == benchmark)]
        retention_panel(axes, rows, found)
        axes.set_title(PANELS[domain, benchmark])
    grid[0, 0].set_yticks(range(len(found)), [look.label for look in found.values()])
    grid[0, 0].set_ylim(len(found) - 0.4, -0.6)
    figure.supxlabel("change from the base (points)", fontsize=8, color="#333333")
    return figure


def retention_panel(
    axes: Axes, rows: pd.DataFrame, found: dict[tuple[str, str], Look]
) -> None:
    """One benchmark: thin lines are 95 %, thick ones 90 % intervals; verdicts."""
    margin = 100 * rows["margin"].iloc[0]
    axes.axvspan(-margin, margin, color=COLOURS["rank4"], alpha=0.12, linewidth=0)
    axes.axvline(0, color=GREY, linewidth=0.9, linestyle=DASHED)
    places = list(found)
    for _, row in rows.iterrows():
        position = places.index((row["arm"], row["variant"]))
        look = found[row["arm"], row["variant"]]
        for low, high, width in (("low", "high", 1), ("low_90", "high_90", 2.4)):
            axes.plot(
                [100 * row[low], 100 * row[high]],
                [position] * 2,
                color=look.colour,
                linewidth=width,
                solid_capstyle="butt",
            )
        dot(axes, 100 * row["difference"], position, look)
        annotate(
            axes,
            1,
            position,
            row["verdict"],
            offset=(3, 0),
            xycoords=("axes fraction", "data"),
            fontsize=6.5,
        )
    axes.grid(axis="x")
    axes.tick_params(axis="y", length=0)
    axes.xaxis.set_major_locator(MaxNLocator(4))


# The function of each figure, and its tables.
SAMPLING_FIGURES: dict[str, tuple[Callable[..., Figure], str]] = {
    "pass_at_k": (pass_at_k, "pass_at_k pass_null"),
    "forgetting": (forgetting, "forgetting forgetting_curve"),
    "retention": (retention, "retention"),
}
