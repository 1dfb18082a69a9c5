"""Bars, tables and plot of benchmarks/decomposition.py, from its table alone.

decomposition_report.py TABLE.tsv [README.md PLOT.png]

Prints the text, or puts it between the marks of the README and draws the plot.
"""

import os
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib import pyplot as plt
from matplotlib.axes import Axes

ROOT = Path(__file__).resolve().parent.parent
sys.path.append(str(ROOT / "workflow" / "scripts"))
MARKS = ("<!-- measured -->", "<!-- end of measured -->")
UPDATE, TYPICAL, LARGEST = "update", "spike 1.5", "4096 x 11008, "
INSIDE = ("files in the page cache", "files on disk")
NOISE = ("noise", "spike 1.01", "spike 1.02")
ACCURATE = 1 - 1e-6
OURS, FULL, SKETCH = "Rankone", "torch.linalg.svd", "torch.svd_lowrank"
VALUES, TRUE_VALUES = "Rankone values", "svdvals float64"
TENSOR_MB = 4 * 8960 * 1536 / 1e6  # the largest of the synthetic models
PANELS = {
    "first triplet": (OURS, SKETCH, "scipy svds", FULL),
    "all singular values": (VALUES, "svdvals float32", TRUE_VALUES),
}
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#D55E00")  # Okabe and Ito
MARKERS = ("o", "s", "^", "D")


def wide(rows: pd.DataFrame, column: str) -> pd.DataFrame:
    """One column of the table, one line a case and one column a method."""
    return rows.pivot(index="case", columns="method", values=column)


def speed(rows: pd.DataFrame, ours: str, peer: str) -> float:
    """How many times faster the sum of ours is, over the cases that both have."""
    seconds = wide(rows, "seconds")[[ours, peer]].dropna()
    return seconds[peer].sum() / seconds[ours].sum()


def verdict(text: str, measured: str, met: bool) -> dict:
    """One line of the table of bars."""
    return {"bar": text, "measured": measured, "": "met" if met else "MISSED"}


def at_least(text: str, value: float, bound: float) -> dict:
    """A bar for a ratio of times."""
    return verdict(text, f"{value:.1f} times", value >= bound)


def engine_bars(rows: pd.DataFrame) -> Iterable[dict]:
    """Bars of the first triplet."""
    real = rows[rows["spectrum"] == UPDATE]
    large = rows[rows["case"].str.startswith(LARGEST)]
    count = real["case"].nunique()
    text = "updates of the study ({}), rank 1: at least 15 times faster than `{}`"
    yield at_least(text.format(count, FULL), speed(real, OURS, FULL), 15)
    if len(large):
        text = f"4096 x 11008: at least 60 times faster than `{FULL}`"
        yield at_least(text, speed(large, OURS, FULL), 60)
    cosine = wide(rows, "cosine")
    known = wide(rows, "identifiable")[OURS] == True  # noqa: E712
    ratio = wide(rows, "seconds")[OURS] / wide(rows, "seconds")[SKETCH]
    failed = known & (cosine[SKETCH] < ACCURATE)
    yield verdict(
        f"at most 2 times the time of `{SKETCH}(q=5, niter=4)` where that fails",
        f"largest ratio {ratio[failed].max():.2f} in the {failed.sum()} cases where "
        f"its cosine is below 1 - 1e-6; {ratio.max():.2f} in all {len(ratio)}",
        ratio.max() <= 2,
    )
    worst = 1 - cosine[OURS][known].min()
    yield verdict(
        "cosine of both vectors at least 1 - 1e-6 wherever `identifiable`",
        f"1 - {worst:.1e} at worst, {known.sum()} cases",
        worst <= 1 - ACCURATE,
    )
    near = rows["spectrum"].isin(NOISE) & (rows["gap"] <= 1 - 1 / 1.02 + 1e-9)
    close = rows[(rows["method"] == OURS) & near]
    flagged = (close["identifiable"] == False).sum()  # noqa: E712
    text = "sigma_1 / sigma_2 of at most 1.02 on noise is flagged"
    measured = f"{flagged} of {len(close)} cases"
    yield verdict(text, measured, flagged == len(close) > 0)


def values_bars(rows: pd.DataFrame) -> Iterable[dict]:
    """Bars of all singular values."""
    real = rows[rows["spectrum"] == UPDATE]
    large = rows[rows["case"].str.startswith(LARGEST)]
    text = f"all values of the updates: at least 2 times faster than {TRUE_VALUES}"
    yield at_least(text, speed(real, VALUES, TRUE_VALUES), 2)
    if len(large):
        text = f"the same, 4096 x 11008: at least 5 times faster than {TRUE_VALUES}"
        yield at_least(text, speed(large, VALUES, TRUE_VALUES), 5)
    worst = rows.loc[rows["method"] == VALUES, "values_error"].max()
    text = "their error at most 1e-5 of sigma_1"
    yield verdict(text, f"{worst:.1e} at worst", worst <= 1e-5)


def decompose_bars(rows: pd.DataFrame) -> Iterable[dict]:
    """The bar of a whole pair of checkpoints."""
    text = "`decompose` at rank 1, {}: at most 4 times reading both and subtracting"
    for case in INSIDE:
        seconds = rows[rows["case"] == case].set_index("method")["seconds"]
        ratio = seconds["Rankone, rank 1"] / seconds["read and subtract"]
        yield verdict(text.format(case), f"{ratio:.1f} times", ratio <= 4)


def memory_bars(rows: pd.DataFrame) -> Iterable[dict]:
    """The bar of the synthetic models."""
    models = rows.dropna(subset="gigabytes").sort_values("gigabytes")
    if len(models):
        limit, last = 3 * TENSOR_MB + 500, models.iloc[-1]
        text = f"peak of `decompose`, {last['gigabytes']:g} GB of weights: at most "
        text += f"3 x the largest tensor + 500 MB = {limit:.0f} MB"
        met = last["peak_mb"] <= limit
        yield verdict(text, f"{last['peak_mb']:.0f} MB", met)


BARS: dict[str, Callable[[pd.DataFrame], Iterable[dict]]] = {
    "engine": engine_bars,
    "values": values_bars,
    "decompose": decompose_bars,
    "memory": memory_bars,
}


def markdown(table: pd.DataFrame) -> str:
    """A table in Markdown; its index is the first column, missing cells are empty."""
    table = table.reset_index().astype(object).where(lambda x: x.notna(), "")
    lines = [table.columns, ["---"] * table.shape[1], *table.to_numpy()]
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)


def digits(value: float) -> str | None:
    """Three digits, or nothing for a missing value."""
    return None if pd.isna(value) else f"{value:.3g}"


def size(rows: pd.DataFrame) -> pd.Series:
    """m * n * min(m, n)."""
    return rows["rows"] * rows["columns"] * rows[["rows", "columns"]].min(axis=1)


def by_shape(rows: pd.DataFrame, methods: Iterable[str]) -> str:
    """Seconds of each method on the typical spectrum, smallest shape first."""
    rows = rows[rows["spectrum"] == TYPICAL].assign(size=size)
    rows["shape"] = rows["case"].str.split(",").str[0]
    table = rows.pivot(
        index=["size", "model", "shape"], columns="method", values="seconds"
    )
    table = table[list(methods)].map(digits).droplevel("size")
    return markdown(table)


def by_spectrum(rows: pd.DataFrame) -> str:
    """The worst 1 - cosine over the shapes, and how many we call identifiable."""
    lines = {}
    for spectrum, part in rows.groupby("spectrum", sort=False):
        cosine, seconds = wide(part, "cosine"), wide(part, "seconds")
        ours = part[part["method"] == OURS]
        known = (ours["identifiable"] == True).sum()  # noqa: E712
        line = {"sigma_2 / sigma_1": digits(1 - ours["gap"].median())}
        if not ours["cosine"].notna().any():
            line["sigma_2 / sigma_1"] = None
        line["identifiable"] = f"{known} of {len(ours)}"
        for method in PANELS["first triplet"]:
            errors = part[part["method"] == method]["error"].notna().sum()
            worst = (1 - cosine[method]).max() if method in cosine else np.nan
            shown = None if pd.isna(worst) else f"{max(worst, 0):.0e}"
            line[method] = f"error in {errors}" if errors else shown
        ratio = (seconds[OURS] / seconds[SKETCH]).max()
        line[f"time / {SKETCH}, at most"] = digits(ratio)
        lines[spectrum] = line
    return markdown(pd.DataFrame(lines).T.rename_axis("spectrum"))


def plain(rows: pd.DataFrame, columns: list[str]) -> str:
    """Rows as they are, with three digits; a column of errors if there are any."""
    table = rows.set_index("method")[columns].map(digits)
    if rows["error"].notna().any():
        table["error"] = rows.set_index("method")["error"].where(
            lambda x: x.notna(), None
        )
    return markdown(table)


def fit(rows: pd.DataFrame) -> np.ndarray:
    """Slope and level of log time against log(m n min(m, n))."""
    return np.polyfit(np.log(rows["size"]), np.log(rows["seconds"]), 1)


def typical(rows: pd.DataFrame, method: str) -> pd.DataFrame:
    """The matrices on which a method's growth is measured, smallest first."""
    rows = rows[(rows["spectrum"] == TYPICAL) & (rows["method"] == method)]
    return rows.assign(size=size).sort_values("size")


def panel(axis: Axes, rows: pd.DataFrame, methods: Iterable[str]) -> None:
    """Times of some methods, and their fits."""
    for method, colour, marker in zip(methods, COLOURS, MARKERS, strict=False):
        part = typical(rows, method)
        slope, level = fit(part)
        line = part.assign(seconds=np.exp(level) * part["size"] ** slope)
        look = {"x": "size", "y": "seconds", "color": colour, "ax": axis}
        sns.lineplot(line, label=f"{method}: exponent {slope:.2f}", **look)
        sns.scatterplot(part, marker=marker, s=22, **look)
    axis.set(xscale="log", yscale="log", xlabel="m n min(m, n)", ylabel="seconds")
    axis.legend(fontsize=7, frameon=False)
    axis.grid(True)


def plot(table: pd.DataFrame, path: Path) -> None:
    """Time against size: the first triplet, and all singular values."""
    from rankone.report.style import STYLE, WIDTH, save

    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(1, 2, figsize=(WIDTH, 3), sharey=True)
        sections = zip(axes, ("engine", "values"), PANELS.items(), strict=True)
        for axis, section, (title, methods) in sections:
            panel(axis, table[table["section"] == section], methods)
            axis.set_title(title)
    save(figure, [path])


def growth(rows: pd.DataFrame, methods: Iterable[str]) -> str:
    """A sentence with the exponents."""
    slopes = {method: fit(typical(rows, method))[0] for method in methods}
    listed = ", ".join(f"{method} {slope:.2f}" for method, slope in slopes.items())
    return f"Time grows as m n min(m, n) to the power of: {listed}."


def text(table: pd.DataFrame) -> str:
    """Everything that a run has measured, as Markdown."""
    parts = {name: table[table["section"] == name] for name in BARS}
    parts = {name: rows for name, rows in parts.items() if len(rows)}
    bars = [bar for name, rows in parts.items() for bar in BARS[name](rows)]
    lines = [f"Measured: {run}." for run in table["run"].unique()]
    lines += ["### Bars", markdown(pd.DataFrame(bars).set_index("bar"))]
    for name, rows in parts.items():
        lines += SECTIONS[name](rows)
    return "\n\n".join(lines)


def engine_text(rows: pd.DataFrame) -> list[str]:
    """Tables of the first triplet."""
    methods = PANELS["first triplet"]
    return [
        "### First triplet",
        f"Seconds, {TYPICAL}:",
        by_shape(rows, methods),
        growth(rows, methods),
        "Largest 1 - cosine of either vector over all shapes, by spectrum:",
        by_spectrum(rows),
    ]


def values_text(rows: pd.DataFrame) -> list[str]:
    """Tables of all singular values."""
    methods = PANELS["all singular values"]
    worst = rows.groupby("method")["values_error"].max()
    listed = ", ".join(f"{method} {worst[method]:.0e}" for method in methods)
    return [
        "### All singular values",
        f"Seconds, {TYPICAL}:",
        by_shape(rows, methods),
        growth(rows, methods),
        f"Largest error of any value, relative to sigma_1: {listed}.",
    ]


def decompose_text(rows: pd.DataFrame) -> list[str]:
    """Tables of a pair of checkpoints."""
    inside = rows[rows["case"].isin(INSIDE)]
    inside = inside.pivot(index="method", columns="case", values="seconds")
    commands = rows[~rows["case"].isin(INSIDE)]
    commands = commands.assign(**{"1 - cosine": 1 - commands["cosine"]})
    columns = ["seconds", "peak_mb", "sigma_error", "1 - cosine"]
    return [
        "### A pair of checkpoints",
        "Seconds in one process:",
        markdown(inside[list(INSIDE)].map(digits)),
        "As commands, start-up included (errors: the worst matrix):",
        plain(commands, columns),
    ]


def memory_text(rows: pd.DataFrame) -> list[str]:
    """Tables of peak memory."""
    models = rows["gigabytes"].notna()
    shape = rows.loc[~models, ["rows", "columns"]].iloc[0].astype(int)
    return [
        "### Peak memory",
        f"One call on a matrix of {' x '.join(map(str, shape))}, in MB of the process:",
        plain(rows[~models], ["peak_mb"]),
        "`decompose` at rank 1 on synthetic models:",
        plain(rows[models], ["gigabytes", "seconds", "peak_mb"]),
    ]


SECTIONS = {
    "engine": engine_text,
    "values": values_text,
    "decompose": decompose_text,
    "memory": memory_text,
}


def main(table: str, readme: str | None = None, image: str | None = None) -> None:
    """Print the text, or write text and plot."""
    from rankone.files import replacing

    measured = pd.read_table(table)
    found = text(measured)
    if readme is None or image is None:
        print(found)
        return
    before, rest = Path(readme).read_text().split(MARKS[0])
    after = rest.split(MARKS[1])[1]
    shown = f"![Time against size]({os.path.relpath(image, Path(readme).parent)})"
    content = "\n\n".join([before + MARKS[0], shown, found, MARKS[1] + after])
    with replacing(readme) as temporary:
        temporary.write_text(content)
    plot(measured, Path(image))


if __name__ == "__main__":
    main(*sys.argv[1:])
