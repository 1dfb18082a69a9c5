"""One function per figure of training, scores, updates and interventions.

Each draws from tables of `rankone.tables` alone. FIGURES has all figures of a study.
"""

from collections.abc import Callable

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from rankone import claim_figures, sample_figures, trajectory_figures
from rankone.errors import UserError
from rankone.plotting import (
    COLOURS,
    GREY,
    HELD_OUT,
    KNOWLEDGE,
    MATHEMATICS,
    PANELS,
    SHIFTED,
    STYLE,
    WIDTH,
    accuracy_axis,
    annotate,
    arms_of,
    end_labels,
    error_bars,
    interval,
    message,
    module_order,
    panel_grid,
    point_labels,
    run_colours,
    variant_colour,
    variant_label,
    variant_marker,
    variant_order,
    variant_ticks,
)
from rankone.statistics import DEFINED, noise_norm_share, noise_spectrum
from rankone.tables import ALL_RUNS, BASE, FULL, MEAN, TRAIN_PROBE, main_arm

BENCHMARK_LABELS = {
    HELD_OUT: "held-out problems",
    SHIFTED: "shifted problems",
    TRAIN_PROBE: "training problems",
}
WHOLE_PERCENT = (1, 2, 5, 10)  # tick steps that need no decimals
SMOOTHING = 5  # steps in the running median of the reward
RECOVERY_LIMITS = (-0.6, 1.8)  # beyond these an interval is cut and marked
LEAST_SHARE = 1e-5  # of the norm; smaller singular values are not drawn
BAND = (0.1, 0.9)  # quantiles over matrices


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


def last_steps(table: pd.DataFrame) -> pd.DataFrame:
    """Rows of each run's last step."""
    return table[table["step"] == table.groupby("run")["step"].transform("max")]


def as_trained(table: pd.DataFrame) -> pd.DataFrame:
    """Updates against the base, seen in float32, of each run's last step."""
    seen = (table["update"] == "global") & (table["view"] == "float32")
    return last_steps(table[seen])


def training(table: pd.DataFrame) -> Figure:
    """Reward, and accuracy on held-out and training problems, against the step."""
    quantities = set(table["quantity"])
    present = [name for name in (HELD_OUT, TRAIN_PROBE) if name in quantities]
    panels = 2 if present else 1
    figure, grid = plt.subplots(
        panels, sharex=True, squeeze=False, figsize=(WIDTH, 0.4 + 1.9 * panels)
    )
    colours = run_colours(table)
    reward_panel(grid[0, 0], table[table["quantity"] == "reward"], colours)
    if present:
        accuracy_panel(grid[1, 0], table, present, colours)
    grid[-1, 0].set_xlabel("training step")
    grid[-1, 0].xaxis.set_major_locator(MaxNLocator(integer=True))
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


def accuracy_by_variant(scores: pd.DataFrame) -> Figure:
    """Accuracy of each variant at the final step, one panel per benchmark or mean."""
    step = final_step(scores)
    final = scores[(scores["step"] == step) & (scores["variant"] != BASE)]
    pooled = final[final["run"] == ALL_RUNS]
    panels = present_panels(pooled)
    variants = variant_order(pooled["variant"])
    figure, grid = plt.subplots(
        1,
        len(panels),
        sharey=True,
        squeeze=False,
        figsize=(WIDTH, 0.8 + 0.22 * len(variants)),
    )
    for axes, panel in zip(grid[0], panels, strict=True):
        base_band(axes, panel_rows(scores[scores["run"] == BASE], panel))
        variant_dots(axes, panel_rows(final, panel), variants)
        axes.set_title(PANELS[panel])
        accuracy_axis(axes.xaxis)
        axes.xaxis.set_major_locator(MaxNLocator(4, steps=WHOLE_PERCENT))
        axes.grid(axis="x")
    variant_ticks(grid[0, 0], variants)
    figure.supxlabel(f"accuracy at step {step}", fontsize=8, color="#333333")
    return figure


def base_band(axes: Axes, rows: pd.DataFrame) -> None:
    """The base's accuracy as a line with its interval as a band."""
    for row in rows.itertuples():
        axes.axvspan(row.low, row.high, color=GREY, alpha=0.13, linewidth=0)
        axes.axvline(row.score, color=GREY, linewidth=0.9, linestyle=(0, (4, 2)))
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


def accuracy_by_step(scores: pd.DataFrame) -> Figure:
    """Mathematics and knowledge of the full update against the step, per run."""
    panels = present_panels(scores)
    rows = -(-len(panels) // 2)
    figure, grid = plt.subplots(
        rows,
        min(len(panels), 2),
        sharex=True,
        squeeze=False,
        figsize=(WIDTH, 0.4 + 1.8 * rows),
    )
    for axes, panel in zip(grid.flat, panels, strict=False):
        step_lines(axes, panel_rows(scores, panel))
        axes.margins(y=0.12)
        axes.set_title(PANELS[panel].replace("\n", " "))
        axes.grid(axis="y")
        accuracy_axis(axes.yaxis)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
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
    figure.supxlabel("training step", fontsize=8, color="#333333")
    return figure


def step_lines(axes: Axes, rows: pd.DataFrame) -> None:
    """Accuracy of `full` per run with intervals, from the base at step 0."""
    base = rows[rows["run"] == BASE]
    full = rows[(rows["variant"] == FULL) & (rows["run"] != ALL_RUNS)]
    for index, (run, colour) in enumerate(run_colours(full).items()):
        line = pd.concat([base, full[full["run"] == run]]).sort_values("step")
        error_bars(axes, line, "score", index, color=colour, marker="o", markersize=3.5)


def recovery(table: pd.DataFrame) -> Figure:
    """Forest plot of the share of the gain that each variant keeps, final step."""
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
    figure, grid = plt.subplots(
        1,
        len(panels),
        sharey=True,
        squeeze=False,
        figsize=(WIDTH, 0.95 + 0.24 * len(variants)),
    )
    for axes, name in zip(grid[0], panels, strict=True):
        forest(axes, defined[defined["benchmark"] == name], variants)
    variant_ticks(grid[0, 0], variants)
    label = "share of the full update's gain that is kept"
    figure.supxlabel("\n".join([label, *notes]), fontsize=8, color="#333333")
    return figure


def forest(axes: Axes, rows: pd.DataFrame, variants: list[str]) -> None:
    """Recovery of one benchmark: dots, intervals, values, lines at 0 and 1."""
    low, high = RECOVERY_LIMITS
    axes.axvline(0, color=GREY, linewidth=0.9, linestyle=(0, (4, 2)))
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
        axes.annotate(
            text,
            (1.01, position),
            xycoords=("axes fraction", "data"),
            va="center",
            fontsize=7,
        )
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
    figure.supxlabel("index of the singular value", fontsize=8, color="#333333")
    figure.supylabel("singular value / Frobenius norm", fontsize=8, color="#333333")
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
    axes.set_ylim(max(axes.get_ylim()[0], LEAST_SHARE), 2)
    axes.grid()
    first = median[0]
    axes.plot(1, first, "o", color=colour, markersize=4)
    annotate(axes, 1, first, f"{first:.2f}", offset=(5, 1), fontsize=7)
    annotate(axes, 1, noise[0], "noise", offset=(3, -6), fontsize=6.5, color="#555555")


def rank1_share(table: pd.DataFrame) -> Figure:
    """Heat map of sigma_1 over the Frobenius norm, layer by module, final step."""
    table = as_trained(table)
    runs = sorted(table["run"].unique())
    modules = module_order(table["module"])
    figure, grid = plt.subplots(
        len(runs),
        sharex=True,
        squeeze=False,
        figsize=(WIDTH, 0.6 + (0.35 + 0.19 * len(modules)) * len(runs)),
    )
    for axes, run in zip(grid[:, 0], runs, strict=True):
        share_map(axes, table[table["run"] == run], modules)
    grid[-1, 0].set_xlabel("layer")
    grid[-1, 0].tick_params(labelbottom=True)
    bar = figure.colorbar(grid[0, 0].collections[0], ax=list(grid[:, 0]), pad=0.015)
    bar.set_label("rank-1 share of the norm")
    bar.outline.set_visible(False)
    return figure


def share_map(axes: Axes, rows: pd.DataFrame, modules: list[str]) -> None:
    """One run's heat map; dots mark directions that are not identifiable."""
    share = rows.pivot(index="module", columns="layer", values="norm_share")
    share = share.reindex(modules)
    sns.heatmap(
        share,
        ax=axes,
        vmin=0,
        vmax=1,
        cmap="viridis",
        cbar=False,
        linewidths=0.3,
        linecolor="white",
    )
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
    figure, axes = plt.subplots(figsize=(WIDTH, 3.9))
    axes.axhline(0, color=GREY, linewidth=0.8, linestyle=(0, (4, 2)))
    axes.axvline(0, color=GREY, linewidth=0.8, linestyle=(0, (4, 2)))
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


PROBE_STYLES = {"train_probe": "-", "held_out": "--"}
NO_INTERVENTION = "No arm has an intervention."
NOT_PROBED = "Nothing was probed: probes.splits lacks train_probe or held_out."


def in_order(table: pd.DataFrame) -> pd.DataFrame:
    """Rows by step; before a substitution comes before after it."""
    rank = table["moment"].map({"before": 0, "step": 0, "after": 1})
    return table.assign(order=rank).sort_values(["step", "order"])


def sampled_rewards(table: pd.DataFrame) -> pd.DataFrame | None:
    """Rewards of sampled answers, all runs of an arm together; None without pairs."""
    table = table[(table["run"] == ALL_RUNS) & (table["sampling"] == "sampled")]
    return table if PROBE_STYLES.keys() <= set(table["split"]) else None


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
        axes.xaxis.set_major_locator(MaxNLocator(4, integer=True))
    grid[0].legend(
        grid[0].lines[:2],
        ["training problems", "held-out problems"],
        loc="lower right",
        frameon=False,
        fontsize=7,
    )
    figure.supxlabel("training step", fontsize=8, color="#333333")
    figure.supylabel("mean reward, sampled", fontsize=8, color="#333333")
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
    figure.supxlabel("reward on training problems", fontsize=8, color="#333333")
    figure.supylabel("reward on held-out problems", fontsize=8, color="#333333")
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


def overfitting(table: pd.DataFrame) -> Figure:
    """Forest plot of both estimands for each arm, after its last substitution."""
    table = table[(table["sampling"] == "sampled") & (table["test"] == "held_out")]
    table = table[table["moment"] != "before"]
    if table.empty:
        return message(NO_INTERVENTION)
    arms = arms_of(table)
    figure, grid = plt.subplots(
        1, 2, sharey=True, figsize=(WIDTH, 0.95 + 0.24 * len(arms))
    )
    for axes, (quantity, title) in zip(grid, QUANTITIES.items(), strict=True):
        axes.axvline(0, color=GREY, linewidth=0.9, linestyle=(0, (4, 2)))
        for _, row in table[table["quantity"] == quantity].iterrows():
            arm_interval(axes, row, arms.index(row["arm"]))
        axes.set_title(title)
        axes.grid(axis="x")
        axes.tick_params(axis="y", length=0)
    grid[0].set_yticks(range(len(arms)), arms)
    grid[0].set_ylim(len(arms) - 0.4, -0.6)
    figure.supxlabel("points of reward", fontsize=8, color="#333333")
    return figure


def arm_interval(axes: Axes, row: pd.Series, position: int) -> None:
    """An arm's value with its interval, in points; a note where there is none."""
    text = "undefined"
    if not pd.isna(row["value"]):
        colour = COLOURS["rank1"] if row["role"] == "treatment" else COLOURS["shrunk"]
        low, value, high = (100 * row[name] for name in ("low", "value", "high"))
        axes.plot([low, high], [position] * 2, color=colour, linewidth=1.4)
        marker = ROLE_MARKERS[row["role"]]
        axes.plot(value, position, marker, color=colour, markersize=4.8)
        text = f"{value:+.1f} [{low:.1f}, {high:.1f}]"
    place = {"xycoords": ("axes fraction", "data"), "va": "center", "fontsize": 7}
    axes.annotate(text, (1.01, position), **place)


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
        axes.xaxis.set_major_locator(MaxNLocator(4, integer=True))
    figure.supxlabel("training step", fontsize=8, color="#333333")
    figure.supylabel("norm of the update", fontsize=8, color="#333333")
    return figure


# The function of each figure, and its tables.
FIGURES: dict[str, tuple[Callable[..., Figure], str]] = {
    "training": (training, "training"),
    "accuracy_by_variant": (accuracy_by_variant, "scores"),
    "accuracy_by_step": (accuracy_by_step, "scores"),
    "recovery": (recovery, "recovery"),
    "mathematics_vs_knowledge": (mathematics_vs_knowledge, "differences"),
    "rank1_share": (rank1_share, "matrices"),
    "spectra": (spectra, "spectra"),
    "probes": (probes, "probes"),
    "reward_curves": (reward_curves, "probes"),
    "overfitting": (overfitting, "overfitting"),
    "substitutions": (substitutions, "substitutions"),
    **sample_figures.FIGURES,
    **trajectory_figures.FIGURES,
    **claim_figures.FIGURES,
}
# The others show the first arm, which has no intervention.
ALL_ARMS = frozenset(
    {"probes", "reward_curves", "overfitting", "substitutions"}
    | sample_figures.FIGURES.keys()
    | {"claims"}
)


def draw(name: str, *tables: pd.DataFrame) -> Figure:
    """The figure of that name, from its tables in their order, in the shared style.

    Raises UserError for an unknown name.
    """
    functions = {figure: function for figure, (function, _) in FIGURES.items()}
    functions |= claim_figures.CALIBRATION
    if name not in functions:
        raise UserError(f"No figure `{name}`; there are {', '.join(functions)}.")
    if name in FIGURES and name not in ALL_ARMS:
        tables = tuple(map(main_arm, tables))
    with sns.axes_style("ticks"), plt.rc_context(STYLE):
        return functions[name](*tables)
