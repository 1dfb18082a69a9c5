"""What all figures share: style, colours, names of variants, and parts of plots.

Planning and the page read the names and colours, so matplotlib is loaded by what draws.

Colours are Okabe and Ito's (jfly.uni-koeln.de/color), fixed per variant; controls are
diamonds and parts of the update are circles, so that no figure needs its colours.
"""

from __future__ import annotations

import re
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from rankone.errors import UserError
from rankone.files import replacing
from rankone.names import (
    BASE,
    FULL,
    HELD_OUT,
    KNOWLEDGE,
    MATHEMATICS,
    MEAN,
    MODULES,
    SHIFTED,
)
from rankone.variants.grammar import Recipe, parse

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure

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
NUMBER = re.compile(r"\d+(?:\.\d+)?")
RUN_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
PANELS = {
    (MATHEMATICS, HELD_OUT): "Held-out\nproblems",
    (MATHEMATICS, SHIFTED): "Shifted\nproblems",
    (MATHEMATICS, MEAN): "Mathematics\n(mean)",
    (KNOWLEDGE, MEAN): "Knowledge\n(mean)",
}
DASHED = (0, (4, 2))
DODGE = 0.008  # share of the step axis by which runs are moved apart


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
    label = f"{recipe.kind.label} {size}".strip()
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
    return "D" if recipe and recipe.kind.control else "o"


def run_colours(table: pd.DataFrame) -> dict[str, str]:
    """A colour for each run, in the order of their names."""
    runs = sorted(table["run"].unique())
    return dict(zip(runs, RUN_COLOURS * len(runs), strict=False))


def module_order(modules: Iterable[str]) -> list[str]:
    """Modules in the order attention, MLP, others."""
    present = set(modules)
    return [name for name in MODULES if name in present] + sorted(
        present - set(MODULES)
    )


def arms_of(table: pd.DataFrame) -> list[str]:
    """The arms of a table in its order, without the base."""
    return [arm for arm in table["arm"].unique() if arm != BASE]


def pyplot() -> ModuleType:
    """matplotlib's pyplot, without a display."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    return pyplot


@contextmanager
def shared_style() -> Iterator[None]:
    """The style in which figures are drawn."""
    import seaborn as sns

    with sns.axes_style("ticks"), pyplot().rc_context(STYLE):
        yield


def subplots(rows: int = 1, columns: int = 1, *, height: float, **options) -> tuple:
    """Figure and axes as wide as the text, `height` inches high."""
    return pyplot().subplots(rows, columns, figsize=(WIDTH, height), **options)


def message(text: str) -> Figure:
    """A figure that says why there is nothing to draw."""
    figure = pyplot().figure(figsize=(WIDTH, 0.8))
    figure.text(0.5, 0.5, text, ha="center", va="center", color="#333333", wrap=True)
    return figure


def outer_labels(figure: Figure, x: str = "", y: str = "") -> None:
    """Labels of the axes that all panels have in common."""
    for label, put in ((x, figure.supxlabel), (y, figure.supylabel)):
        if label:
            put(label, fontsize=8, color="#333333")


def panel_grid(
    count: int,
    *,
    columns: int = 3,
    height: float = 1.75,
    sharex: bool = True,
    sharey: bool = True,
) -> tuple[Figure, list[Axes]]:
    """So many panels in rows of at most `columns`, with common axes."""
    columns = min(columns, count)
    rows = -(-count // columns)
    figure, grid = subplots(
        rows,
        columns,
        sharex=sharex,
        sharey=sharey,
        squeeze=False,
        height=0.4 + height * rows,
    )
    panels = list(grid.flat)
    for axes in panels[count:]:
        axes.remove()
    for axes in panels[max(count - columns, 0) : count]:
        axes.tick_params(labelbottom=True)
    return figure, panels[:count]


def error_bars(axes: Axes, rows: pd.DataFrame, value: str, run: int, **options) -> None:
    """Vertical intervals and a line through `value` against step.

    `run` counts the runs: each is moved a little so that intervals do not hide others.
    """
    bars = [rows[value] - rows["low"], rows["high"] - rows[value]]
    steps = rows["step"] + run * DODGE * rows["step"].max()
    axes.errorbar(steps, rows[value], yerr=bars, elinewidth=0.8, **options)


def forest_row(
    axes: Axes,
    position: float,
    value: float,
    bounds: tuple[float, float],
    *,
    colour: str,
    marker: str = "o",
    line: Mapping[str, object] | None = None,
    **point,
) -> None:
    """A row of a forest plot: a horizontal interval, and its value as a marker.

    `line` and `point` are options of the two beyond their colour.
    """
    line = {"linewidth": 1.4} | dict(line or {})
    axes.plot(bounds, [position] * 2, color=colour, **line)
    axes.plot(value, position, marker, color=colour, **{"markersize": 4.8} | point)


def beside(axes: Axes, position: float, text: str, **options) -> None:
    """Small text at the right of a row of a forest plot."""
    options = {"va": "center", "fontsize": 7} | options
    place = {"xy": (1.01, position), "xycoords": ("axes fraction", "data")}
    axes.annotate(text, **place, **options)


def interval(axes: Axes, row: pd.Series, value: str, position: float) -> None:
    """A variant's value as a marker with its horizontal interval."""
    forest_row(
        axes,
        position,
        row[value],
        (row["low"], row["high"]),
        colour=variant_colour(row["variant"]),
        marker=variant_marker(row["variant"]),
        markeredgecolor="white",
        markeredgewidth=0.5,
        zorder=3,
    )


def annotate(axes: Axes, x: float, y: float, text: str, **options) -> None:
    """Small text `offset` points to the right of a point (6, 0 by default)."""
    offset = options.pop("offset", (6, 0))
    options = {"va": "center", "fontsize": 7.5, **options}
    axes.annotate(text, (x, y), xytext=offset, textcoords="offset points", **options)


def accuracy_axis(axis: Axis, symbol: str = " %") -> None:
    """Format an axis of shares in [0, 1] as per cent."""
    from matplotlib.ticker import PercentFormatter

    axis.set_major_formatter(PercentFormatter(1, decimals=0, symbol=symbol))


def few_ticks(axis: Axis, most: int = 10, **options) -> None:
    """At most so many intervals between ticks; options are those of MaxNLocator."""
    from matplotlib.ticker import MaxNLocator

    axis.set_major_locator(MaxNLocator(most, **options))


def heat_map(axes: Axes, shares: pd.DataFrame, **options) -> None:
    """A table of shares in [0, 1] as colours."""
    import seaborn as sns

    options = {"linewidths": 0.3, "linecolor": "white", "cbar": False} | options
    sns.heatmap(shares, ax=axes, vmin=0, vmax=1, cmap="viridis", **options)


def colour_bar(figure: Figure, panels: Iterable[Axes], label: str) -> None:
    """The scale of several heat maps at their right."""
    panels = list(panels)
    bar = figure.colorbar(panels[0].collections[0], ax=panels, pad=0.015)
    bar.set_label(label)
    bar.outline.set_visible(False)


def variant_ticks(axes: Axes, variants: list[str]) -> None:
    """Variant names down the y axis, first on top."""
    axes.set_yticks(range(len(variants)), [variant_label(name) for name in variants])
    axes.set_ylim(len(variants) - 0.4, -0.8)
    for shared in axes.figure.axes:
        shared.tick_params(axis="y", length=0)


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


def point_labels(
    axes: Axes,
    ends: pd.Series,
    heights: pd.Series,
    labels: Mapping[Hashable, tuple[str, str]],
) -> None:
    """Names in a column at the right, each joined to the right end of its interval.

    All three have the points' keys; `labels` gives text and colour.
    """
    low, edge = axes.get_xlim()
    bottom, top = axes.get_ylim()
    shifted = spread(heights, 0.05 * (top - bottom))
    for (key, height), label_height in zip(heights.items(), shifted, strict=True):
        text, colour = labels[key]
        joint = [ends[key], edge], [height, label_height]
        axes.plot(*joint, color=colour, linewidth=0.4)
        annotate(axes, edge, label_height, text, offset=(3, 0), annotation_clip=False)
    axes.set(xlim=(low, edge), ylim=(bottom, top))


def save(figure: Figure, paths: Iterable[str | Path]) -> None:
    """Write a figure by suffix (.svg, .pdf, .png); the same figure, the same bytes."""
    with pyplot().rc_context(STYLE):
        # Lay out once, not once per format: it is the slow part.
        figure.draw_without_rendering()
        figure.set_layout_engine("none")
        for path in paths:
            suffix = Path(path).suffix
            if suffix not in METADATA:
                raise UserError(f"{path}: expected one of {', '.join(METADATA)}.")
            with replacing(path) as temporary:
                figure.savefig(temporary, dpi=PNG_DPI, metadata=METADATA[suffix])
    pyplot().close(figure)
