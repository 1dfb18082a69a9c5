"""Figures of sampled answers and of knowledge: pass@k, forgetting, what is retained.

Variants are of the first arm; the other arms are drawn as their trained models, hollow
where they had an intervention, with colour and marker of its recipe.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pandas as pd

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
from rankone.report.figure import figure
from rankone.report.style import (
    COLOURS,
    DASHED,
    GREY,
    PANELS,
    accuracy_axis,
    annotate,
    arms_of,
    few_ticks,
    forest_row,
    message,
    outer_labels,
    panel_grid,
    point_labels,
    subplots,
    variant_colour,
    variant_label,
    variant_marker,
    variant_order,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

DOTTED = (0, (1, 1.5))
RETENTION_PANELS = [(MATHEMATICS, HELD_OUT), (MATHEMATICS, SHIFTED), (KNOWLEDGE, MEAN)]


@dataclass(frozen=True)
class Appearance:
    """How an arm's variant is named and drawn."""

    label: str
    colour: str
    marker: str
    face: str

    @property
    def point(self) -> dict[str, object]:
        """Options of the marker beyond its colour."""
        return {"markerfacecolor": self.face, "markeredgewidth": 0.9, "zorder": 3}


def appearances(table: pd.DataFrame) -> dict[tuple[str, str], Appearance]:
    """The appearance of every arm and variant but the base, in order."""
    arms, shown = arms_of(table), {}
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
            shown[arm, variant] = Appearance(label, colour, variant_marker(name), face)
    return shown


@figure(
    tables=["pass_at_k.tsv", "pass_null.tsv"],
    category="Sampling",
    needs="samples",
    all_arms=True,
    order=90,
    caption="""
    pass@k against k, a panel for each variant of the first arm and for every other arm:
    the share of problems that at least one of k samples solves, mean over problems and
    runs (unbiased estimator). Colour: the variant with its 95 % bootstrap interval over
    problems and runs. Grey: the base. Dotted: where 95 % of the variants would lie that
    answer as the base does, from exchanging the correct samples of each problem between
    the two; a curve within them is no change. Both are for one k at a time. A curve
    that is above the base's at k = 1 and below it at large k solves fewer problems more
    reliably. Tables: ``pass_at_k.tsv``, ``pass_null.tsv``; crossings and gaps are in
    ``efficiency.tsv``.
    """,
)
def pass_at_k(table: pd.DataFrame, null: pd.DataFrame) -> Figure:
    """pass@k of every variant over the base's, with the band of an unchanged model."""
    from matplotlib.ticker import FixedLocator, FormatStrFormatter, NullLocator

    base = table[table["run"] == BASE]
    table, null = (rows[rows["run"] == ALL_RUNS] for rows in (table, null))
    shown = appearances(table)
    figure, grid = panel_grid(len(shown))
    for axes, ((arm, variant), look) in zip(grid, shown.items(), strict=True):
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
    outer_labels(figure, "k", "pass@k")
    return figure


def band(axes: Axes, x: pd.Series, rows: pd.DataFrame, colour: str, **fill) -> None:
    """The intervals of a curve."""
    axes.fill_between(x, rows["low"], rows["high"], color=colour, linewidth=0, **fill)


@figure(
    tables=["forgetting.tsv", "forgetting_curve.tsv"],
    category="Knowledge",
    needs="samples",
    all_arms=True,
    order=110,
    caption="""
    Knowledge lost (accuracy of the base minus that of the variant, mean over the
    knowledge benchmarks) against the forward KL from the base on answers to the sampled
    problems, one point per variant of the first arm and per other arm (hollow after an
    intervention). Circles are parts of the update, diamonds are controls; lines are 95
    % bootstrap intervals over items or problems, and over runs. Curve: quadratic
    through the origin, with its interval over items and runs. A variant below it
    forgets less than others at the same KL; ``excess`` in the table tests that against
    the curve of the others. Tables: ``forgetting.tsv``, ``forgetting_curve.tsv``.
    """,
)
def forgetting(points: pd.DataFrame, curve: pd.DataFrame) -> Figure:
    """Knowledge lost against the KL from the base, with the curve through all."""
    if points.empty:
        return message(
            "No curve of forgetting: it needs knowledge benchmarks, and three variants "
            "that were sampled with different KL."
        )
    figure, axes = subplots(height=3.6)
    axes.axhline(0, color=GREY, linewidth=0.8, linestyle=DASHED)
    values = 100 * curve[["value", "low", "high"]]
    band(axes, curve["kl"], values, GREY, alpha=0.15)
    axes.plot(curve["kl"], values["value"], color=GREY)
    shown = appearances(points)
    points = points.set_index(["arm", "variant"]).loc[list(shown)]
    heights = 100 * points[["forgetting", "low", "high"]]
    for key, look in shown.items():
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
        axes.plot(
            *(point["kl"], height["forgetting"], look.marker),
            color=look.colour,
            markersize=4.8,
            **look.point,
        )
    labels = {key: (look.label, look.colour) for key, look in shown.items()}
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


@figure(
    tables=["retention.tsv"],
    category="Knowledge",
    needs="samples",
    all_arms=True,
    sample_sizes=True,
    order=100,
    caption="""
    Change of accuracy from the base at the last step, for each variant of the first arm
    and for every other arm (hollow after an intervention). Thin lines: 95 % intervals
    of the difference; thick lines: 90 % intervals of the equivalence test; shaded: the
    margin within which a score counts as kept. *Retained*: the thick line is within the
    margin. *Damaged* and *improved*: otherwise, the thin line is on one side of zero.
    *Undetermined*: too few items to say. Paired bootstrap over items and runs. Table:
    ``retention.tsv``, with every benchmark, and the items that were gained and lost.
    """,
)
def retention(table: pd.DataFrame) -> Figure:
    """Differences to the base with both intervals, and the margin of equivalence."""
    table = table[table["run"] == ALL_RUNS]
    have = set(zip(table["domain"], table["benchmark"], strict=True))
    panels = [panel for panel in RETENTION_PANELS if panel in have]
    if not panels:
        return message("None of the benchmarks of this chart was evaluated.")
    shown = appearances(table)
    figure, grid = subplots(
        1,
        len(panels),
        sharey=True,
        squeeze=False,
        height=0.8 + 0.22 * len(shown),
    )
    for axes, (domain, benchmark) in zip(grid[0], panels, strict=True):
        rows = table[(table["domain"] == domain) & (table["benchmark"] == benchmark)]
        retention_panel(axes, rows, shown)
        axes.set_title(PANELS[domain, benchmark])
    grid[0, 0].set_yticks(range(len(shown)), [look.label for look in shown.values()])
    grid[0, 0].set_ylim(len(shown) - 0.4, -0.6)
    outer_labels(figure, "change from the base (points)")
    return figure


def retention_panel(
    axes: Axes, rows: pd.DataFrame, shown: dict[tuple[str, str], Appearance]
) -> None:
    """One benchmark: thin lines are 95 %, thick ones 90 % intervals; verdicts."""
    margin = 100 * rows["margin"].iloc[0]
    axes.axvspan(-margin, margin, color=COLOURS["rank4"], alpha=0.12, linewidth=0)
    axes.axvline(0, color=GREY, linewidth=0.9, linestyle=DASHED)
    places = list(shown)
    for _, row in rows.iterrows():
        position = places.index((row["arm"], row["variant"]))
        look = shown[row["arm"], row["variant"]]
        value, low, high, low_90, high_90 = (
            100 * row[["difference", "low", "high", "low_90", "high_90"]]
        )
        ends = {"solid_capstyle": "butt"}
        axes.plot([low, high], [position] * 2, color=look.colour, linewidth=1, **ends)
        forest_row(
            axes,
            position,
            value,
            (low_90, high_90),
            colour=look.colour,
            marker=look.marker,
            line={"linewidth": 2.4, **ends},
            **look.point,
        )
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
    few_ticks(axes.xaxis, 4)
