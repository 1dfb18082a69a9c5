"""Figures of interventions: rewards around substitutions, and overfitting."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from rankone.names import ALL_RUNS, MOMENT_ORDER
from rankone.report.figure import figure
from rankone.report.style import (
    COLOURS,
    DASHED,
    GREY,
    accuracy_axis,
    arms_of,
    beside,
    few_ticks,
    forest_row,
    message,
    outer_labels,
    panel_grid,
    subplots,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PROBE_STYLES = {"train_probe": "-", "held_out": "--"}
NO_INTERVENTION = "No arm has an intervention."
NOT_PROBED = "Nothing was probed: probes.splits lacks train_probe or held_out."


def in_order(table: pd.DataFrame) -> pd.DataFrame:
    """Rows by step; before a substitution comes before after it."""
    return table.assign(order=table["moment"].map(MOMENT_ORDER)).sort_values(
        ["step", "order"]
    )


def sampled_rewards(table: pd.DataFrame) -> pd.DataFrame | None:
    """Rewards of sampled answers, all runs of an arm together; None without pairs."""
    table = table[(table["run"] == ALL_RUNS) & (table["sampling"] == "sampled")]
    return table if PROBE_STYLES.keys() <= set(table["split"]) else None


@figure(
    tables=["probes.tsv"],
    category="Interventions",
    needs="interventions",
    all_arms=True,
    order=180,
    caption="""
    Mean reward of sampled answers on the training problems (solid) and on held-out ones
    (dashed) against the step, one panel per arm, in grey the first arm, which has no
    intervention. Each vertical line marks a substitution, measured just before and just
    after. Bands: 95 % bootstrap intervals over problems and seeds. These are fixed
    problems, answered anew at the training temperature; the reward of the training's
    own batches is another quantity (``training.tsv``). Table: ``probes.tsv``.
    """,
)
def probes(table: pd.DataFrame) -> Figure:
    """Reward on training and held-out problems against the step, a panel an arm."""
    table = sampled_rewards(table)
    if table is None:
        return message(NOT_PROBED)
    arms = arms_of(table)
    figure, grid = panel_grid(len(arms))
    for axes, arm in zip(grid, arms, strict=True):
        own = table[table["arm"] == arm]
        if arm != arms[0]:
            probe_lines(axes, table[table["arm"] == arms[0]], GREY, band=False)
        probe_lines(axes, own, COLOURS["rank1"] if arm != arms[0] else "black")
        for step in own.loc[own["moment"] == "after", "step"].unique():
            axes.axvline(step, color="#cccccc", linewidth=0.5, zorder=0)
        axes.set_title(arm)
        axes.grid(axis="y")
        accuracy_axis(axes.yaxis)
        few_ticks(axes.xaxis, 4, integer=True)
    grid[0].legend(
        grid[0].lines[:2],
        ["training problems", "held-out problems"],
        loc="lower right",
        frameon=False,
        fontsize=7,
    )
    outer_labels(figure, "training step", "mean reward, sampled")
    return figure


def probe_lines(
    axes: Axes, rows: pd.DataFrame, colour: str, *, band: bool = True
) -> None:
    """One line a problem set: training problems solid, held-out ones dashed."""
    for split, style in PROBE_STYLES.items():
        line = in_order(rows[rows["split"] == split])
        axes.plot(line["step"], line["reward"], style, color=colour, lw=1.1)
        if band:
            axes.fill_between(
                line["step"], line["low"], line["high"], color=colour, alpha=0.1, lw=0
            )


@figure(
    tables=["probes.tsv"],
    category="Interventions",
    needs="interventions",
    all_arms=True,
    order=190,
    caption="""
    Reward on held-out problems against reward on training problems, from the base to
    the last step, after each substitution; in grey the first arm. Dotted: equal
    rewards. An arm whose curve lies above the grey one does better on new problems at
    the same training reward; an arm that lies on it has merely learned less. Crosses:
    95 % bootstrap intervals over problems and seeds. Table: ``probes.tsv``.
    """,
)
def reward_curves(table: pd.DataFrame) -> Figure:
    """Held-out against training reward, a panel an arm, over the first arm's curve."""
    table = sampled_rewards(table)
    if table is None:
        return message(NOT_PROBED)
    table = table[table["moment"] != "before"]
    arms = arms_of(table)
    if len(arms) == 1:
        return message(NO_INTERVENTION)
    figure, grid = panel_grid(len(arms) - 1, height=2.0)
    for axes, arm in zip(grid, arms[1:], strict=True):
        curve(axes, table[table["arm"] == arms[0]], GREY)
        curve(axes, table[table["arm"] == arm], COLOURS["rank1"])
        axes.axline((0.5, 0.5), slope=1, color=GREY, lw=0.6, ls=":", zorder=0)
        axes.set_title(arm)
        axes.grid()
        accuracy_axis(axes.xaxis)
        accuracy_axis(axes.yaxis)
    outer_labels(figure, "reward on training problems", "reward on held-out problems")
    return figure


def curve(axes: Axes, rows: pd.DataFrame, colour: str) -> None:
    """One arm's path from its first to its last step, with intervals."""
    rows = rows.set_index(["split", "step"])[["reward", "low", "high"]].sort_index()
    x, y = (rows.loc[split] for split in PROBE_STYLES)
    bars = ([v["reward"] - v["low"], v["high"] - v["reward"]] for v in (x, y))
    axes.errorbar(
        *(x["reward"], y["reward"]),
        **dict(zip(("xerr", "yerr"), bars, strict=True)),
        color=colour,
        marker="o",
        markersize=2.5,
        linewidth=1.1,
        elinewidth=0.5,
    )


QUANTITIES = {
    "overfitting": "Implicit reward overfitting",
    "advantage_at_equal_reward": "Held-out advantage at\nequal training reward",
}
ROLE_MARKERS = {"treatment": "o", "control": "D", "no-op": "s"}


@figure(
    tables=["overfitting.tsv"],
    category="Interventions",
    needs="interventions",
    all_arms=True,
    order=170,
    caption="""
    Implicit reward overfitting of each arm with an intervention, just after its last
    substitution, on sampled answers. Left: [train(full) - train(arm)] - [held-out(full)
    - held-out(arm)] in points of reward; above zero, the arm loses more on the problems
    that were trained on than on others. Right: held-out reward of the arm minus that of
    the first arm where it had the same training reward (interpolated, never
    extrapolated). Circles are rank-1 arms, diamonds controls, squares no-ops; lines are
    95 % bootstrap intervals over problems and seeds, paired. A rank-1 arm shows the
    effect only if its interval lies above zero and above every control. Table:
    ``overfitting.tsv``, with the other moments, ways of sampling and test problems.
    """,
)
def overfitting(table: pd.DataFrame) -> Figure:
    """Forest plot of both estimands for each arm, after its last substitution."""
    table = table[(table["sampling"] == "sampled") & (table["test"] == "held_out")]
    table = table[table["moment"] != "before"]
    if table.empty:
        return message(NO_INTERVENTION)
    arms = arms_of(table)
    figure, grid = subplots(1, 2, sharey=True, height=0.95 + 0.24 * len(arms))
    for axes, (quantity, title) in zip(grid, QUANTITIES.items(), strict=True):
        axes.axvline(0, color=GREY, linewidth=0.9, linestyle=DASHED)
        for _, row in table[table["quantity"] == quantity].iterrows():
            arm_interval(axes, row, arms.index(row["arm"]))
        axes.set_title(title)
        axes.grid(axis="x")
        axes.tick_params(axis="y", length=0)
    grid[0].set_yticks(range(len(arms)), arms)
    grid[0].set_ylim(len(arms) - 0.4, -0.6)
    outer_labels(figure, "points of reward")
    return figure


def arm_interval(axes: Axes, row: pd.Series, position: int) -> None:
    """An arm's value with its interval, in points; a note where there is none."""
    text = "undefined"
    if not pd.isna(row["value"]):
        colour = COLOURS["rank1"] if row["role"] == "treatment" else COLOURS["shrunk"]
        low, value, high = (100 * row[name] for name in ("low", "value", "high"))
        marker = ROLE_MARKERS[row["role"]]
        forest_row(axes, position, value, (low, high), colour=colour, marker=marker)
        text = f"{value:+.1f} [{low:.1f}, {high:.1f}]"
    beside(axes, position, text)


@figure(
    tables=["substitutions.tsv"],
    category="Interventions",
    needs="interventions",
    all_arms=True,
    order=200,
    caption="""
    Frobenius norm of all updates together against the step, one line per run: a
    substitution takes the norm down, training brings it back. In the title the share of
    the energy (squared norm) that a substitution removes, mean over substitutions and
    runs. Table: ``substitutions.tsv``, which also has the turn of the first singular
    vectors and the norms of Adam's moments.
    """,
)
def substitutions(table: pd.DataFrame) -> Figure:
    """Norm of all updates against the step: what is taken away, and what comes back."""
    arms = arms_of(table)
    if not arms:
        return message("The updates were not measured during training.")
    figure, grid = panel_grid(len(arms))
    for axes, arm in zip(grid, arms, strict=True):
        own = table[table["arm"] == arm]
        for _, rows in own.groupby("run"):
            rows = in_order(rows)
            axes.plot(rows["step"], rows["norm"], color=COLOURS["rank1"], lw=1)
        removed = own["energy_removed"].mean()
        if pd.notna(removed):
            # Adding zero turns a rounded -0 into 0.
            text = f"{round(100 * removed) + 0:.0f} % of the energy removed"
            axes.text(0.03, 0.04, text, transform=axes.transAxes, fontsize=6.5)
        axes.set_title(arm)
        axes.grid(axis="y")
        axes.set_ylim(bottom=0)
        few_ticks(axes.xaxis, 4, integer=True)
    outer_labels(figure, "training step", "norm of the update")
    return figure
