"""Figures of scores: by variant, by step, recovery, mathematics against knowledge."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from rankone.errors import UserError
from rankone.names import (
    ALL_RUNS,
    BASE,
    FULL,
    HELD_OUT,
    KNOWLEDGE,
    MATHEMATICS,
    MEAN,
    SHIFTED,
    TRAIN_PROBE,
)
from rankone.report.figure import figure
from rankone.report.style import (
    DASHED,
    GREY,
    PANELS,
    accuracy_axis,
    annotate,
    beside,
    end_labels,
    error_bars,
    few_ticks,
    interval,
    message,
    outer_labels,
    point_labels,
    run_colours,
    subplots,
    variant_colour,
    variant_label,
    variant_marker,
    variant_order,
    variant_ticks,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

BENCHMARK_LABELS = {
    HELD_OUT: "held-out problems",
    SHIFTED: "shifted problems",
    TRAIN_PROBE: "training problems",
}
WHOLE_PERCENT = (1, 2, 5, 10)  # tick steps that need no decimals
SMOOTHING = 5  # steps in the running median of the reward
RECOVERY_LIMITS = (-0.6, 1.8)  # beyond these an interval is cut and marked


def final_step(table: pd.DataFrame) -> int:
    """The last step of the pooled runs.

    Raises UserError if the runs share no step.
    """
    pooled = table.loc[table["run"] == ALL_RUNS, "step"]
    if pooled.empty:
        raise UserError(
            "The table holds no rows of all runs together: the runs share no evaluated "
            "step. Evaluate the same final step of every run."
        )
    return int(pooled.max())


@figure(
    tables=["training.tsv"],
    category="Training",
    needs="training",
    sample_sizes=True,
    order=50,
    caption="""
    Reward and accuracy against the training step. Above: mean reward of each step's
    batch (thin) and its running median over five steps, one colour per run. Below:
    greedy accuracy of the full update on held-out problems (solid) and on training
    problems (dashed), from the base at step 0, with 95 % Wilson intervals; runs are
    moved apart a little. Table: ``training.tsv``, which has the number of items.
    """,
)
def training(table: pd.DataFrame) -> Figure:
    """Reward, and accuracy on held-out and training problems, against the step."""
    quantities = set(table["quantity"])
    present = [name for name in (HELD_OUT, TRAIN_PROBE) if name in quantities]
    panels = 2 if present else 1
    figure, grid = subplots(
        panels, sharex=True, squeeze=False, height=0.4 + 1.9 * panels
    )
    colours = run_colours(table)
    reward_panel(grid[0, 0], table[table["quantity"] == "reward"], colours)
    if present:
        accuracy_panel(grid[1, 0], table, present, colours)
    grid[-1, 0].set_xlabel("training step")
    few_ticks(grid[-1, 0].xaxis, integer=True)
    return figure


def reward_panel(axes: Axes, rewards: pd.DataFrame, colours: dict[str, str]) -> None:
    """Mean reward of each step's batch and its running median, per run."""
    ends = []
    for run, rows in rewards.groupby("run"):
        rows = rows.sort_values("step")
        smooth = rows["value"].rolling(SMOOTHING, center=True, min_periods=1).median()
        axes.plot(rows["step"], rows["value"], color=colours[run], lw=0.6, alpha=0.4)
        axes.plot(rows["step"], smooth, color=colours[run])
        ends.append((rows["step"].iloc[-1], smooth.iloc[-1], run, colours[run]))
    axes.set_title("Reward in training")
    axes.set_ylabel("mean reward of the batch")
    axes.grid(axis="y")
    end_labels(axes, ends)


def accuracy_panel(
    axes: Axes, table: pd.DataFrame, benchmarks: list[str], colours: dict[str, str]
) -> None:
    """Greedy accuracy with intervals per run; training problems dashed."""
    ends = []
    for benchmark in benchmarks:
        dashed = benchmark == TRAIN_PROBE
        for run, rows in table[table["quantity"] == benchmark].groupby("run"):
            rows = rows.sort_values("step")
            error_bars(
                axes,
                rows,
                "value",
                list(colours).index(run),
                color=colours[run],
                linestyle="--" if dashed else "-",
                marker="o",
                markersize=3.5,
                markerfacecolor="white" if dashed else colours[run],
            )
            text = f"{run}, {'training' if dashed else 'held-out'}"
            ends.append((rows["step"].iloc[-1], rows["value"].iloc[-1], text))
            ends[-1] = (*ends[-1], colours[run])
    axes.set_title("Greedy accuracy: held-out (solid) and training problems (dashed)")
    axes.set_ylabel("accuracy")
    axes.grid(axis="y")
    accuracy_axis(axes.yaxis)
    end_labels(axes, ends)


def present_panels(scores: pd.DataFrame) -> list[tuple[str, str]]:
    """The (domain, benchmark) panels that the table has rows for."""
    have = set(zip(scores["domain"], scores["benchmark"], strict=True))
    return [panel for panel in PANELS if panel in have]


def panel_rows(scores: pd.DataFrame, panel: tuple[str, str]) -> pd.DataFrame:
    """Rows of one (domain, benchmark)."""
    return scores[(scores["domain"] == panel[0]) & (scores["benchmark"] == panel[1])]


@figure(
    tables=["scores.tsv"],
    category="Scores",
    sample_sizes=True,
    order=20,
    caption="""
    Accuracy of each variant at the final step. Dots are means over the runs with 95 %
    intervals (bootstrap over items and runs), small ticks below are single runs.
    Circles are parts of the update, diamonds are controls. Dashed line and band: the
    base with its interval. These intervals are not paired: compare variants in the
    recovery figure. Table: ``scores.tsv``.
    """,
)
def accuracy_by_variant(scores: pd.DataFrame) -> Figure:
    """Accuracy of each variant at the final step, one panel per benchmark or mean."""
    step = final_step(scores)
    final = scores[(scores["step"] == step) & (scores["variant"] != BASE)]
    pooled = final[final["run"] == ALL_RUNS]
    panels = present_panels(pooled)
    variants = variant_order(pooled["variant"])
    figure, grid = subplots(
        1,
        len(panels),
        sharey=True,
        squeeze=False,
        height=0.8 + 0.22 * len(variants),
    )
    for axes, panel in zip(grid[0], panels, strict=True):
        base_band(axes, panel_rows(scores[scores["run"] == BASE], panel))
        variant_dots(axes, panel_rows(final, panel), variants)
        axes.set_title(PANELS[panel])
        accuracy_axis(axes.xaxis)
        few_ticks(axes.xaxis, 4, steps=WHOLE_PERCENT)
        axes.grid(axis="x")
    variant_ticks(grid[0, 0], variants)
    outer_labels(figure, f"accuracy at step {step}")
    return figure


def base_band(axes: Axes, rows: pd.DataFrame) -> None:
    """The base's accuracy as a line with its interval as a band."""
    for row in rows.itertuples():
        axes.axvspan(row.low, row.high, color=GREY, alpha=0.13, linewidth=0)
        axes.axvline(row.score, color=GREY, linewidth=0.9, linestyle=DASHED)
        axes.annotate(
            "base",
            (row.score, 1),
            xycoords=("data", "axes fraction"),
            xytext=(2, -1),
            textcoords="offset points",
            va="top",
            fontsize=6.5,
            color="#555555",
        )


def variant_dots(axes: Axes, rows: pd.DataFrame, variants: list[str]) -> None:
    """Pooled score with interval per variant, single runs as small ticks."""
    for position, variant in enumerate(variants):
        chosen = rows[rows["variant"] == variant]
        for _, row in chosen.iterrows():
            if row["run"] == ALL_RUNS:
                interval(axes, row, "score", position)
            else:
                axes.plot(
                    row["score"],
                    position + 0.28,
                    "|",
                    color=variant_colour(variant),
                    markersize=4,
                    markeredgewidth=0.8,
                )


@figure(
    tables=["scores.tsv"],
    category="Training",
    sample_sizes=True,
    order=60,
    caption="""
    Accuracy of the full update against the training step, on mathematics and on general
    knowledge. One line per run from the base at step 0, with 95 % intervals (Wilson for
    one benchmark, bootstrap over items for a mean); runs are moved apart a little. The
    means are unweighted over the benchmarks of a domain. Table: ``scores.tsv``.
    """,
)
def accuracy_by_step(scores: pd.DataFrame) -> Figure:
    """Mathematics and knowledge of the full update against the step, per run."""
    panels = present_panels(scores)
    rows = -(-len(panels) // 2)
    figure, grid = subplots(
        rows,
        min(len(panels), 2),
        sharex=True,
        squeeze=False,
        height=0.4 + 1.8 * rows,
    )
    for axes, panel in zip(grid.flat, panels, strict=False):
        step_lines(axes, panel_rows(scores, panel))
        axes.margins(y=0.12)
        axes.set_title(PANELS[panel].replace("\n", " "))
        axes.grid(axis="y")
        accuracy_axis(axes.yaxis)
        few_ticks(axes.xaxis, integer=True)
    runs = run_colours(scores[~scores["run"].isin([ALL_RUNS, BASE])])
    for line, (run, colour) in enumerate(runs.items()):
        grid[0, 0].annotate(
            run,
            (0.03, 0.97),
            xycoords="axes fraction",
            xytext=(0, -10 * line),
            textcoords="offset points",
            va="top",
            color=colour,
        )
    for axes in list(grid.flat)[len(panels) :]:
        axes.remove()
    outer_labels(figure, "training step")
    return figure


def step_lines(axes: Axes, rows: pd.DataFrame) -> None:
    """Accuracy of `full` per run with intervals, from the base at step 0."""
    base = rows[rows["run"] == BASE]
    full = rows[(rows["variant"] == FULL) & (rows["run"] != ALL_RUNS)]
    for index, (run, colour) in enumerate(run_colours(full).items()):
        line = pd.concat([base, full[full["run"] == run]]).sort_values("step")
        error_bars(axes, line, "score", index, color=colour, marker="o", markersize=3.5)


@figure(
    tables=["recovery.tsv"],
    category="Scores",
    sample_sizes=True,
    order=30,
    caption="""
    Share of the full update's gain that each variant keeps, at the final step. 0 is the
    base and 1 the full update. Dots: ratio of the mean differences to the base, over
    all runs; lines: 95 % percentile intervals of a paired bootstrap over items and
    runs, with 10,000 draws. An arrow marks an interval that goes on beyond the axis. A
    benchmark whose gain cannot be told from zero has no recovery. Table:
    ``recovery.tsv``.
    """,
)
def recovery(table: pd.DataFrame) -> Figure:
    """Forest plot of the share of the gain that each variant keeps, final step."""
    from rankone.statistics.intervals import DEFINED

    if table.empty:
        return message("No recovery: only the full update was evaluated.")
    pooled = table[(table["run"] == ALL_RUNS) & (table["step"] == final_step(table))]
    pooled = pooled[pooled["benchmark"].isin([HELD_OUT, SHIFTED])]
    defined = pooled[pooled["status"] == DEFINED]
    panels = [name for name in (HELD_OUT, SHIFTED) if name in set(defined["benchmark"])]
    undefined = pooled[pooled["status"] != DEFINED]
    notes = [
        f"{BENCHMARK_LABELS[name].capitalize()}: undefined, {rows['status'].iloc[0]}."
        for name, rows in undefined.groupby("benchmark")
    ]
    if not panels:
        return message("\n".join(["No recovery can be given.", *notes]))
    variants = variant_order(defined["variant"])
    figure, grid = subplots(
        1,
        len(panels),
        sharey=True,
        squeeze=False,
        height=0.95 + 0.24 * len(variants),
    )
    for axes, name in zip(grid[0], panels, strict=True):
        forest(axes, defined[defined["benchmark"] == name], variants)
    variant_ticks(grid[0, 0], variants)
    label = "share of the full update's gain that is kept"
    outer_labels(figure, "\n".join([label, *notes]))
    return figure


def forest(axes: Axes, rows: pd.DataFrame, variants: list[str]) -> None:
    """Recovery of one benchmark: dots, intervals, values, lines at 0 and 1."""
    low, high = RECOVERY_LIMITS
    axes.axvline(0, color=GREY, linewidth=0.9, linestyle=DASHED)
    axes.axvline(1, color="black", linewidth=0.9)
    for _, row in rows.iterrows():
        position = variants.index(row["variant"])
        colour = variant_colour(row["variant"])
        cut = row.copy()
        cut[["low", "high", "recovery"]] = row[["low", "high", "recovery"]].clip(
            low, high
        )
        interval(axes, cut, "recovery", position)
        for edge, marker, beyond in (
            (low, "<", row["low"] < low),
            (high, ">", row["high"] > high),
        ):
            if beyond:
                axes.plot(edge, position, marker, color=colour, markersize=4)
        text = f"{row['recovery']:.2f} [{row['low']:.2f}, {row['high']:.2f}]"
        beside(axes, position, text)
    gain = rows.iloc[0]
    axes.set_title(
        f"{BENCHMARK_LABELS[gain['benchmark']].capitalize()}\n"
        f"gain {100 * gain['gain']:+.0f} points "
        f"[{100 * gain['gain_low']:.0f}, {100 * gain['gain_high']:.0f}]"
    )
    axes.set_xlim(
        max(low, min(-0.15, rows["low"].min() - 0.05)),
        min(high, max(1.15, rows["high"].max() + 0.05)),
    )
    axes.text(0, -0.75, " base", fontsize=6.5, color="#555555", va="center")
    axes.text(1, -0.75, " full", fontsize=6.5, color="#555555", va="center")
    axes.grid(axis="x")


@figure(
    tables=["differences.tsv"],
    category="Scores",
    sample_sizes=True,
    order=40,
    caption="""
    Change in mathematics against change in general knowledge, one point per variant, at
    the final step. Both are differences to the base in percentage points, of unweighted
    means over the benchmarks of a domain; crosses are 95 % paired bootstrap intervals
    over items and runs. Circles are parts of the update, diamonds are controls. Table:
    ``differences.tsv``.
    """,
)
def mathematics_vs_knowledge(differences: pd.DataFrame) -> Figure:
    """Change in mathematics against change in knowledge, one point per variant."""
    step = final_step(differences)
    rows = differences[
        (differences["run"] == ALL_RUNS)
        & (differences["step"] == step)
        & (differences["benchmark"] == MEAN)
    ].set_index(["domain", "variant"])
    domains = set(rows.index.get_level_values("domain"))
    if not {MATHEMATICS, KNOWLEDGE} <= domains:
        return message("No comparison: mathematics and knowledge are both needed.")
    columns = ["difference", "low", "high"]
    x, y = (100 * rows.loc[name, columns] for name in (KNOWLEDGE, MATHEMATICS))
    figure, axes = subplots(height=3.9)
    axes.axhline(0, color=GREY, linewidth=0.8, linestyle=DASHED)
    axes.axvline(0, color=GREY, linewidth=0.8, linestyle=DASHED)
    variants = variant_order(x.index.intersection(y.index))
    for variant in variants:
        cross(axes, variant, x.loc[variant], y.loc[variant])
    labels = {name: (variant_label(name), variant_colour(name)) for name in variants}
    point_labels(axes, x["high"], y.loc[variants, "difference"], labels)
    axes.set_xlabel("knowledge: change from the base (points)")
    axes.set_ylabel("mathematics: change from the base (points)")
    axes.plot(0, 0, "s", color=GREY, markersize=4, zorder=3)
    annotate(axes, 0, 0, "base", offset=(-5, -8), ha="right")
    return figure


def cross(axes: Axes, variant: str, x: pd.Series, y: pd.Series) -> None:
    """One variant's point with its interval in both directions."""
    colour = variant_colour(variant)
    point = x["difference"], y["difference"]
    axes.plot([x["low"], x["high"]], [point[1]] * 2, color=colour, linewidth=1)
    axes.plot([point[0]] * 2, [y["low"], y["high"]], color=colour, linewidth=1)
    axes.plot(
        *point,
        variant_marker(variant),
        color=colour,
        markersize=5.5,
        markeredgecolor="white",
        markeredgewidth=0.5,
        zorder=3,
    )
