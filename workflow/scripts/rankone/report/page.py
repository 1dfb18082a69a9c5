"""The page of a study: sentences, tables and figures in one HTML file."""

import base64
import json
import re
from collections.abc import Mapping, Sequence
from html import unescape
from pathlib import Path

import pandas as pd
import yaml
from docutils.core import publish_parts
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from rankone.errors import UserError
from rankone.names import ALL_RUNS, BASE
from rankone.report.figure import FIGURES
from rankone.report.sentences import (
    Runs,
    arm_table,
    benchmark_table,
    claims_rows,
    claims_sentence,
    headline_table,
    imported_sentence,
    load_results,
    sample_sizes,
    sentences,
)
from rankone.report.tables import DESCRIPTIONS
from rankone.statistics.intervals import DRAWS, LEVEL

CAPTION_SETTINGS = {
    "file_insertion_enabled": False,
    "raw_enabled": False,
    "_disable_config": True,
    "initial_header_level": 3,
}


def restructured(text: str) -> Markup:
    """reStructuredText as an HTML fragment."""
    parts = publish_parts(text, writer="html5", settings_overrides=CAPTION_SETTINGS)
    return Markup(parts["body"])


def figure_block(svg: str | Path, sizes: str) -> dict[str, object]:
    """A figure as a data URI (SVG ids stay apart) with caption, sizes and alt text."""
    figure = FIGURES[Path(svg).stem]
    data = base64.b64encode(Path(svg).read_bytes()).decode()
    caption = restructured(figure.caption)
    words = unescape(re.sub(r"<[^>]+>", "", caption))
    return {
        "name": figure.name,
        "source": f"data:image/svg+xml;base64,{data}",
        "caption": caption,
        "sizes": sizes if figure.sample_sizes else "",
        "alt": " ".join(words.split()).split(". ")[0].rstrip(".") + ".",
    }


def flatten(value: object, prefix: str = "") -> list[tuple[str, str]]:
    """A nested mapping as (dotted key, text) pairs."""
    if isinstance(value, Mapping):
        return [
            pair
            for key, inner in value.items()
            for pair in flatten(inner, f"{prefix}.{key}" if prefix else str(key))
        ]
    if isinstance(value, list):
        value = ", ".join(map(str, value))
    return [(prefix, str(value))]


def read_provenance(path: str | Path) -> dict:
    """The provenance mapping of a JSON or YAML file."""
    text = Path(path).read_text(encoding="utf-8")
    is_json = Path(path).suffix == ".json"
    value = json.loads(text) if is_json else yaml.safe_load(text)
    if not isinstance(value, dict):
        raise UserError(f"{path}: expected a mapping, found {type(value).__name__}.")
    return value


def data_files(tables_dir: str | Path) -> list[dict[str, object]]:
    """The tables in the folder with a description and their size."""
    return [
        {
            "name": path.name,
            "description": DESCRIPTIONS.get(path.stem, ""),
            "kilobytes": f"{max(1, path.stat().st_size // 1000):,}",
        }
        for path in sorted(Path(tables_dir).iterdir())
        if path.suffix in (".tsv", ".parquet")
    ]


def render(
    tables_dir: str | Path,
    claims: pd.DataFrame,
    figures: Sequence[str | Path],
    provenance: Mapping[str, object],
    text_dir: str | Path,
    runs: Runs,
) -> str:
    """The report as one self-contained HTML page.

    `claims` is the table of claims. `figures` are SVG files in the order of the page;
    `text_dir` holds the template report.html.j2 and the overview workflow.rst; `runs`
    are those trained here and those imported.
    """
    results = load_results(tables_dir, bool(runs[0]))
    sizes = sample_sizes(results)
    overview = (Path(text_dir) / "workflow.rst").read_text(encoding="utf-8")
    environment = Environment(
        loader=FileSystemLoader(text_dir),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("report.html.j2").render(
        sentences=[*sentences(results), claims_sentence(claims)],
        imported=imported_sentence(runs),
        claims=claims_rows(claims),
        table=headline_table(results),
        benchmarks=benchmark_table(results),
        arms=arm_table(results),
        step=results.step,
        runs=sorted(set(results.scores["run"]) - {ALL_RUNS, BASE}),
        level=f"{100 * LEVEL:.0f}",
        draws=f"{DRAWS:,}",
        figures=[figure_block(svg, sizes) for svg in figures],
        overview=restructured(overview),
        provenance=flatten(provenance),
        data_folder=Path(tables_dir).name,
        files=data_files(tables_dir),
    )
