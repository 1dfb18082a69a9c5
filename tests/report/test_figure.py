"""A figure is one declaration: planning, the rules and the page read it."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import tiny
from conftest import ROOT
from rankone.errors import UserError
from rankone.report.figure import FIGURES, NEEDS, figure, figures_of
from rankone.report.tables import DESCRIPTIONS

WORKFLOW = ROOT / "workflow"
PLUGIN = '''
from matplotlib import pyplot as plt
from rankone.report.figure import figure

@figure(
    tables=["scores.tsv"],
    category="Scores",
    order=15,
    caption="""
    Dots of a *plugin*.
    Table: ``scores.tsv``.
    """,
)
def toy_dots(scores):
    drawn, axes = plt.subplots()
    axes.plot(scores["score"], ".")
    return drawn
'''
# Prints the figures of a study, draws one, and prints its caption as on the page.
USE = """
import sys
from rankone.report.figure import figures_of
print([figure.name for figure in figures_of({"scores"})])
import plot
from rankone.report.page import figure_block
plot.main("toy_dots", [sys.argv[1]], [sys.argv[2]])
print(figure_block(sys.argv[2], "")["caption"])
"""


DUMP = """
import atexit, json
from rankone.registry import load_plugin
load_plugin("{plugin}")
include: "{snakefile}"
def dump():
    jobs = workflow.dag.needrun_jobs(exclude_finished=False)
    plan = {{job.rule.name: [list(job.input), list(job.output)] for job in jobs}}
    with open("{output}", "w") as opened:
        json.dump(plan, opened)
atexit.register(dump)
"""


def python(*arguments, **environment) -> str:
    """Output of a fresh interpreter that finds the scripts."""
    paths = {"PYTHONPATH": str(WORKFLOW / "scripts")}
    command = [sys.executable, *map(str, arguments)]
    return subprocess.run(
        command,
        env=os.environ | paths | environment,
        capture_output=True,
        text=True,
        check=True,
    ).stdout


def test_reading_the_declarations_loads_nothing_that_draws():
    code = "import sys; from rankone.report.figure import FIGURES; list(FIGURES); "
    loaded = set(python("-c", code + "print(*sys.modules)").split())
    assert "rankone.report.figures.scores" in loaded
    assert not loaded & {"matplotlib", "seaborn", "scipy", "torch"}


def test_a_plugins_figure_is_listed_drawn_and_captioned(tmp_path):
    (tmp_path / "dots.py").write_text(PLUGIN)
    (tmp_path / "scores.tsv").write_text("arm\tscore\nbase\t0.5\nfull\t0.7\n")
    files = tmp_path / "scores.tsv", tmp_path / "toy_dots.svg"
    output = python("-c", USE, *files, RANKONE_PLUGINS=str(tmp_path / "dots.py"))
    names, caption = output.split("\n", 1)
    assert "'claims', 'toy_dots', 'accuracy_by_variant'" in names
    assert "Dots of a <em>plugin</em>." in caption
    assert "<svg" in files[1].read_text()


@pytest.fixture(scope="module")
def plan(tmp_path_factory):
    """Inputs and outputs of each rule of a study with every part and a plugin."""
    folder = tmp_path_factory.mktemp("plan")
    (folder / "dots.py").write_text(PLUGIN)
    files = {"plugin": folder / "dots.py", "output": folder / "plan.json"}
    dump = DUMP.format(snakefile=ROOT / "Snakefile", **files)
    (folder / "dump.smk").write_text(dump)
    study = ["--directory", folder, "--configfile", tiny.save_study(folder)]
    python(
        *("-m", "snakemake", "--snakefile", folder / "dump.smk", *study),
        *("--replace-workflow-config", "-n", "--", "results/report.html"),
    )
    return json.loads((folder / "plan.json").read_text())


def test_a_plugins_figure_is_planned_and_is_on_the_page(plan):
    inputs, outputs = plan["plot_toy_dots"]
    assert inputs == ["results/tables/scores.tsv"]
    assert {Path(file).suffix for file in outputs} == {".svg", ".pdf", ".png"}
    assert "results/figures/toy_dots.svg" in plan["report"][0]


def test_every_table_of_a_study_is_described_and_no_other(plan):
    files = [Path(file) for _, outputs in plan.values() for file in outputs]
    tables = {file.stem for file in files if file.parent.name == "tables"}
    assert tables == set(DESCRIPTIONS)


def test_no_other_file_names_a_figure():
    # Some figures are called as their table; those names say nothing.
    names = set(FIGURES) - set(DESCRIPTIONS) - {"claims", "calibration", "power"}
    assert {"accuracy_by_variant", "rank1_share", "heavy_tails"} <= names
    files = [*WORKFLOW.rglob("*.py"), *WORKFLOW.rglob("*.smk"), ROOT / "Snakefile"]
    others = [file for file in files if "report/figures" not in file.as_posix()]
    pattern = re.compile(rf"\b({'|'.join(names)})\b")
    assert [file for file in others if pattern.search(file.read_text())] == []


def test_only_figures_that_the_study_has_the_parts_for_are_its_own():
    plain = {figure.name for figure in figures_of({"scores"})}
    assert "recovery" in plain and not plain & {"training", "pass_at_k", "calibration"}
    assert "training" in {f.name for f in figures_of({"scores", "training"})}


def test_the_page_begins_with_the_claims_and_follows_the_order_of_the_figures():
    entries = figures_of(NEEDS)
    assert entries[0].name == "claims"
    assert [e.order for e in entries] == sorted(e.order for e in entries)


@pytest.mark.parametrize(
    ("declared", "words"),
    [
        ({"tables": "scores.tsv"}, "drawn from 's'; expected a list of tables"),
        ({"tables": ["scores"]}, "drawn from 'scores'"),
        ({"tables": ["scores.tsv"], "needs": "sampels"}, "needs 'sampels'; expected"),
    ],
)
def test_a_declaration_that_cannot_be_meant_is_refused(declared, words):
    def toy():
        pass

    with pytest.raises(UserError, match=words):
        figure(caption="A toy.", category="Toys", **declared)(toy)
    assert "toy" not in FIGURES


def test_two_files_cannot_declare_a_figure_of_one_name():
    def recovery():
        pass

    with pytest.raises(UserError, match="'recovery' is registered twice"):
        figure(tables=["scores.tsv"], caption="A toy.", category="Toys")(recovery)
