"""One function per figure, each from one table of `rankone.tables` alone.

Colours are Okabe and Ito's (jfly.uni-koeln.de/color), fixed per variant; controls are
diamonds and parts of the update are circles, so that no figure needs its colours.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import matplotlib

matplotlib.use("Agg")

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from rankone.errors import UserError
from rankone.files import replacing
from rankone.recipes import CONTROLS, MODULES, Recipe, parse
from rankone.statistics import DEFINED, Z, noise_norm_share, noise_spectrum
from rankone.tables import ALL_RUNS, BASE, FULL, MEAN, TRAIN_PROBE, main_arm

WIDTH = 6.3  # inches: the text width of an A4 or letter page
PNG_DPI = 200
STYLE = {
    "font.family": "DejaVu Sans",  # shipped with matplotlib: the same bytes everywhere
    "text.hinting": "none",  # hinting makes the layout depend on the resolution
    "font.size": 8,
    "axes.titlesize": 8.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.labelsize": 8,
    "axes.labelcolor": "#333333",
    "axes.edgecolor": "#888888",
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.labelsize": 7.5,
    "ytick.labelsize": 7.5,
    "xtick.color": "#333333",
    "ytick.color": "#333333",
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "grid.color": "#e4e4e4",
    "grid.linewidth": 0.6,
    "lines.linewidth": 1.3,
    "figure.constrained_layout.use": True,
    "figure.facecolor": "white",
    "figure.dpi": PNG_DPI,
    "pdf.fonttype": 42,
    "svg.hashsalt": "rankone",
}
METADATA = {
    ".svg": {"Date": None, "Creator": None},
    ".pdf": {"CreationDate": None, "Creator": None, "Producer": None},
    ".png": {"Software": None},
}

GREY = "#777777"
COLOURS = {
    BASE: GREY,
    FULL: "#000000",
    "rank1": "#0072B2",
    "rank1_rescaled": "#56B4E9",
    "rank4": "#009E73",
    "rank16": "#00654B",
    "without_rank1": "#D55E00",
    "shrunk": "#E69F00",
    "random_rank1": "#CC79A7",
}
KIND_LABELS = {
    "full": "full update",
    "rank": "rank",
    "direction": "direction",
    "without_rank": "without rank",
    "shrunk": "full, shrunk",
    "random_rank": "random rank",
    "bulk_matched": "bulk matched (control)",
}
NUMBER = re.compile(r"\d+(?:\.\d+)?")
RUN_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")

HELD_OUT = "arithmetic_held_out"
SHIFTED = "arithmetic_shifted"
KNOWLEDGE = "knowledge"
MATHEMATICS = "mathematics"
PANELS = {
    (MATHEMATICS, HELD_OUT): "Held-out\narithmetic",
    (MATHEMATICS, SHIFTED): "Shifted\narithmetic",
    (MATHEMATICS, MEAN): "Mathematics\n(mean)",
    (KNOWLEDGE, MEAN): "Knowledge\n(mean)",
}
BENCHMARK_LABELS = {
    HELD_OUT: "held-out problems",
    SHIFTED: "shifted problems",
    TRAIN_PROBE: "training problems",
}
WHOLE_PERCENT = (1, 2, 5, 10)  # tick steps that need no decimals
DODGE = 0.008  # share of the step axis by which runs are moved apart
SMOOTHING = 5  # steps in the running median of the reward
RECOVERY_LIMITS = (-0.6, 1.8)  # beyond these an interval is cut and marked
LEAST_SHARE = 1e-5  # of the norm; smaller singular values are not drawn
BAND = (0.1, 0.9)  # quantiles over matrices


def variant_colour(variant: str) -> str:
    """Colour of a variant; grey for one without a fixed colour."""
    return COLOURS.get(variant, GREY)


def find_recipe(variant: str) -> Recipe | None:
    """The recipe of a variant; None for the base and for names outside the grammar."""
    try:
        return parse(variant)
    except UserError:
        return None


def variant_label(variant: str) -> str:
    """Name of a variant in figures and tables: `0.5 x rank 1 in q_proj`."""
    recipe = find_recipe(variant)
    if recipe is None:
        return variant.replace("_", " ")
    size = recipe.rank or (f"{recipe.percent:g} %" if recipe.percent else "")
    label = f"{KIND_LABELS[recipe.kind]} {size}".strip()
    label += ", rescaled" if recipe.rescaled else ""
    if recipe.modules or recipe.layers:
        label += f" in {', '.join(place_labels(recipe))}"
    return f"{recipe.scale:g} x {label}" if variant[0].isdigit() else label


def place_labels(recipe: Recipe) -> list[str]:
    """The modules and layers to which a recipe is kept, in words."""
    places = [name for name in MODULES if name in (recipe.modules or ())]
    if recipe.layers:
        first, last = recipe.layers
        places.append(f"layer {first}" if first == last else f"layers {first}-{last}")
    return places


def variant_order(variants: Iterable[str]) -> list[str]:
    """Variants in their fixed order; the others last, by name and by number."""
    known = list(COLOURS)

    def key(name: str) -> tuple:
        numbers = [float(number) for number in NUMBER.findall(name)]
        position = known.index(name) if name in known else len(known)
        return position, NUMBER.sub("", name), numbers

    return sorted(set(variants), key=key)


def variant_marker(variant: str) -> str:
    """Diamond for a control, circle for a part of the update."""
    recipe = find_recipe(variant)
    return "D" if recipe and recipe.kind in CONTROLS else "o"


def run_colours(table: pd.DataFrame) -> dict[str, str]:
    """A colour for each run, in the order of their names."""
    runs = sorted(table["run"].unique())
    return dict(zip(runs, RUN_COLOURS * len(runs), strict=False))


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


def error_bars(axes: Axes, rows: pd.DataFrame, value: str, run: int, **options) -> None:
    """Vertical intervals and a line through `value` against step.

    `run` counts the runs: each is moved a little so that intervals do not hide others.
    """
    bars = [rows[value] - rows["low"], rows["high"] - rows[value]]
    steps = rows["step"] + run * DODGE * rows["step"].max()
    axes.errorbar(steps, rows[value], yerr=bars, elinewidth=0.8, **options)


def interval(axes: Axes, row: pd.Series, value: str, position: float) -> None:
    """A variant's value as a marker with its horizontal interval."""
    colour = variant_colour(row["variant"])
    axes.plot([row["low"], row["high"]], [position] * 2, color=colour, linewidth=1.4)
    axes.plot(
        row[value],
        position,
        variant_marker(row["variant"]),
        color=colour,
        markersize=4.8,
        markeredgecolor="white",
        markeredgewidth=0.5,
        zorder=3,
    )


def annotate(axes: Axes, x: float, y: float, text: str, **options) -> None:
    """Small text `offset` points to the right of a point (6, 0 by default)."""
    offset = options.pop("offset", (6, 0))
    options = {"va": "center", "fontsize": 7.5, **options}
    axes.annotate(text, (x, y), xytext=offset, textcoords="offset points", **options)


def message(text: str) -> Figure:
    """A figure that says why there is nothing to draw."""
    figure = plt.figure(figsize=(WIDTH, 0.8))
    figure.text(0.5, 0.5, text, ha="center", va="center", color="#333333", wrap=True)
    return figure


def accuracy_axis(axis) -> None:
    """Format an axis of accuracies in [0, 1] as per cent."""
    axis.set_major_formatter(PercentFormatter(1, decimals=0, symbol=" %"))


def spread(positions: Sequence[float], gap: float) -> np.ndarray:
    """Positions moved apart to be at least `gap` from each other, in their order."""
    order = np.argsort(positions, kind="stable")
    moved = np.array(positions, dtype=float)[order]
    for _ in range(100):
        excess = gap - np.diff(moved)
        if (excess <= gap * 1e-3).all():
            break
        push = np.maximum(excess, 0) / 2
        moved[:-1] -= push
        moved[1:] += push
    result = np.empty_like(moved)
    result[order] = moved
    return result


def end_labels(axes: Axes, ends: list[tuple[float, float, str, str]]) -> None:
    """Label lines at their right ends (x, y, text, colour) without overlaps."""
    low, high = axes.get_ylim()
    height = axes.figure.get_size_inches()[1] / axes.get_gridspec().nrows
    gap = (high - low) * 0.15 / height
    for (x, _, text, colour), y in zip(
        ends, spread([end[1] for end in ends], gap), strict=True
    ):
        annotate(axes, x, y, text, color=colour, annotation_clip=False)


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


def variant_ticks(axes: Axes, variants: list[str]) -> None:
    """Variant names down the y axis, first on top."""
    axes.set_yticks(range(len(variants)), [variant_label(name) for name in variants])
    axes.set_ylim(len(variants) - 0.4, -0.8)
    for shared in axes.figure.axes:
        shared.tick_params(axis="y", length=0)


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


def module_order(modules: Iterable[str]) -> list[str]:
    """Modules in the order attention, MLP, others."""
    present = set(modules)
    return [name for name in MODULES if name in present] + sorted(
        present - set(MODULES)
    )


def panel_grid(
    count: int, *, columns: int = 3, height: float = 1.75, sharey: bool = True
) -> tuple[Figure, list[Axes]]:
    """So many panels in rows of at most `columns`, with common axes."""
    columns = min(columns, count)
    rows = -(-count // columns)
    figure, grid = plt.subplots(
        rows,
        columns,
        sharex=True,
        sharey=sharey,
        squeeze=False,
        figsize=(WIDTH, 0.4 + height * rows),
    )
    found = list(grid.flat)
    for axes in found[count:]:
        axes.remove()
    for axes in found[max(count - columns, 0) : count]:
        axes.tick_params(labelbottom=True)
    return figure, found[:count]


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


def alignment(table: pd.DataFrame) -> Figure:
    """Heat maps of mean |cos| between steps, a panel for each side and shape."""
    table = table[table["kind"].isin(OVER_TIME)]
    if table["cosine"].isna().all():
        return message("No two steps with identifiable directions to compare.")
    shapes = [shape for shape in SHAPES if shape in set(table["shape"])]
    figure, grid = plt.subplots(
        *(len(SIDES), len(shapes)),
        sharex=True,
        sharey=True,
        squeeze=False,
        figsize=(WIDTH, 0.7 + 1.9 * len(SIDES)),
    )
    for row, side in zip(grid, SIDES, strict=True):
        for axes, shape in zip(row, shapes, strict=True):
            chosen = (table["side"] == side) & (table["shape"] == shape)
            step_map(axes, table[chosen])
            axes.set_title(f"{SIDES[side]}, {shape}")
    for axes, shape in zip(grid[-1], shapes, strict=True):
        modules = module_order(table.loc[table["shape"] == shape, "module"])
        axes.set_xlabel("\n".join(["step", ", ".join(modules)]))
    bar = figure.colorbar(grid[0, 0].collections[0], ax=grid, pad=0.015)
    bar.set_label("mean |cos| (below the diagonal: null)")
    bar.outline.set_visible(False)
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
    sns.heatmap(
        whole,
        ax=axes,
        xticklabels=labelled,
        yticklabels=labelled,
        vmin=0,
        vmax=1,
        cmap="viridis",
        cbar=False,
        square=True,
        annot=len(steps) <= NUMBERED_STEPS,
        fmt=".2f",
        annot_kws={"fontsize": 5.5},
        linewidths=0.3,
        linecolor="white",
    )
    axes.tick_params(length=0, rotation=0)


def alignment_contrast(table: pd.DataFrame) -> Figure:
    """Forest plot of how much more left vectors align, in units of the null."""
    table = table.dropna(subset="z")
    kinds = [kind for kind in LINKS if kind in set(table["kind"])]
    if not kinds:
        return message("No pairs of identifiable directions with a null to compare.")
    figure, axes = plt.subplots(figsize=(WIDTH, 0.6 + 0.72 * len(kinds)))
    axes.axvspan(-Z, Z, color=GREY, alpha=0.13, linewidth=0)
    axes.axvline(0, color=GREY, linewidth=0.9, linestyle=(0, (4, 2)))
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
    axes.plot([row.z_low, row.z_high], [position] * 2, color=colour, linewidth=1.4)
    axes.plot(
        *(row.z, position, "s" if decides else "o"),
        color=colour,
        markerfacecolor=colour if decides else "white",
        markersize=4.8,
    )
    bounds = "" if pd.isna(row.z_low) else f" [{row.z_low:.2f}, {row.z_high:.2f}]"
    axes.annotate(
        f"{row.z:+.2f}{bounds}, |cos| {row.delta:+.2f}",
        (1.01, position),
        xycoords=("axes fraction", "data"),
        va="center",
        fontsize=7,
    )


TRAJECTORY_PANELS = {
    "first_component_share": "First component: share of energy",
    "linearity_r2": "Its coefficient: R\u00b2 on the step",
    "extrapolation_r2": "R\u00b2 on later steps, out of sample",
    "linear_share": "Weights with R\u00b2 above 0.7",
}


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
    axes.set_xticks(range(len(modules)), [name.split("_")[0] for name in modules])
    axes.tick_params(axis="x", length=0)
    axes.grid(axis="y")


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
    point_labels(axes, x, y.loc[variants, "difference"])
    axes.set_xlabel("knowledge: change from the base (points)")
    axes.set_ylabel("mathematics: change from the base (points)")
    axes.plot(0, 0, "s", color=GREY, markersize=4, zorder=3)
    annotate(axes, 0, 0, "base", offset=(-5, -8), ha="right")
    return figure


def point_labels(axes: Axes, x: pd.DataFrame, heights: pd.Series) -> None:
    """Variant names in a column at the right, each joined to its interval's end."""
    low, high = x["low"].min(), x["high"].max()
    span = high - low
    axes.set_xlim(low - 0.05 * span, high + 0.35 * span)
    edge = high + 0.06 * span
    bottom, top = axes.get_ylim()
    shifted = spread(heights, 0.05 * (top - bottom))
    for (variant, height), label_height in zip(heights.items(), shifted, strict=True):
        axes.plot(
            [x.loc[variant, "high"], edge],
            [height, label_height],
            color=variant_colour(variant),
            linewidth=0.4,
        )
        annotate(
            axes,
            edge,
            label_height,
            variant_label(variant),
            offset=(2, 0),
            bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.8},
        )


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


def arms_of(table: pd.DataFrame) -> list[str]:
    """The arms of a table in its order, without the base."""
    return [arm for arm in table["arm"].unique() if arm != BASE]


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
        text = "" if pd.isna(removed) else f": {100 * removed:.0f} % removed"
        axes.set_title(f"{arm}{text}")
        axes.grid(axis="y")
        axes.set_ylim(bottom=0)
        axes.xaxis.set_major_locator(MaxNLocator(4, integer=True))
    figure.supxlabel("training step", fontsize=8, color="#333333")
    figure.supylabel("norm of the update", fontsize=8, color="#333333")
    return figure


FIGURES: dict[str, tuple[Callable[[pd.DataFrame], Figure], str]] = {
    "training": (training, "training"),
    "accuracy_by_variant": (accuracy_by_variant, "scores"),
    "accuracy_by_step": (accuracy_by_step, "scores"),
    "recovery": (recovery, "recovery"),
    "mathematics_vs_knowledge": (mathematics_vs_knowledge, "differences"),
    "rank1_share": (rank1_share, "matrices"),
    "spectra": (spectra, "spectra"),
    "alignment": (alignment, "alignment"),
    "alignment_contrast": (alignment_contrast, "alignment_contrast"),
    "trajectory": (trajectory, "trajectory_matrices"),
    "probes": (probes, "probes"),
    "reward_curves": (reward_curves, "probes"),
    "overfitting": (overfitting, "overfitting"),
    "substitutions": (substitutions, "substitutions"),
}
# The others show the first arm, which has no intervention.
ALL_ARMS = frozenset({"probes", "reward_curves", "overfitting", "substitutions"})


def draw(name: str, table: pd.DataFrame) -> Figure:
    """The figure of that name in the shared style.

    Raises UserError for an unknown name.
    """
    if name not in FIGURES:
        raise UserError(f"No figure `{name}`; there are {', '.join(FIGURES)}.")
    with sns.axes_style("ticks"), plt.rc_context(STYLE):
        return FIGURES[name][0](table if name in ALL_ARMS else main_arm(table))


def save(figure: Figure, paths: Iterable[str | Path]) -> None:
    """Write a figure by suffix (.svg, .pdf, .png); the same figure, the same bytes."""
    with plt.rc_context(STYLE):
        # Lay out once, not once per format: it is the slow part.
        figure.draw_without_rendering()
        figure.set_layout_engine("none")
        for path in paths:
            suffix = Path(path).suffix
            if suffix not in METADATA:
                raise UserError(f"{path}: expected one of {', '.join(METADATA)}.")
            with replacing(path) as temporary:
                figure.savefig(temporary, dpi=PNG_DPI, metadata=METADATA[suffix])
    plt.close(figure)
