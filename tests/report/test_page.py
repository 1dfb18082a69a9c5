"""The report claims what the intervals allow, and stands alone."""

import json
import re
import shutil

import pytest
from docutils.core import publish_parts

from conftest import ROOT
from rankone.errors import UserError
from rankone.report import page as pages
from rankone.report import sentences
from rankone.report.figure import FIGURES, draw
from rankone.report.style import save
from rankone.tables_io import read_table, write_table
from report import main
from synthetic import BASE_SCORES, FULL_SCORES, KEPT, claims_rows, write_tables

TEXTS = ROOT / "workflow" / "report"
RUNS = ["full-seed0", "full-seed1"], []


@pytest.fixture(scope="module")
def tables(tmp_path_factory):
    return write_tables(tmp_path_factory.mktemp("study"))


@pytest.fixture(scope="module")
def page(tables):
    folder = tables.parent
    figures = []
    for name in ("recovery", "training"):
        figures.append(folder / f"{name}.svg")
        save(draw(name, read_table(tables / f"{name}.tsv")), figures[-1:])
    provenance = folder / "provenance.json"
    provenance.write_text(json.dumps({"config": {"hash": "<abc>"}, "seeds": [0, 1]}))
    outputs = folder / "r.html", folder / "headline.txt"
    main(tables, tables / "claims.tsv", figures, provenance, TEXTS, RUNS, *outputs)
    return (folder / "r.html").read_text()


def study(tmp_path, **scores):
    return sentences.load_results(
        write_tables(tmp_path, full={**FULL_SCORES, **scores}, steps=(4,))
    )


def edited(results, table, variant, **values):
    """Results with the pooled held-out row of a variant changed."""
    frame = getattr(results, table)
    rows = (frame["variant"] == variant) & (frame["run"] == "all")
    frame.loc[rows, list(values)] = list(values.values())
    return results


def test_a_gain_is_reported_with_its_intervals(tmp_path):
    sentence = sentences.gain_sentence(study(tmp_path)).replace(sentences.NBSP, " ")
    assert sentence.startswith("RLVR raised held-out accuracy from 30 % [")
    assert "to 70 % [" in sentence and "+40.0 points [" in sentence
    assert sentence.endswith("(two runs, 200 problems).")


def test_no_gain_is_not_called_a_gain(tmp_path):
    results = study(tmp_path, problems_held_out=BASE_SCORES["problems_held_out"])
    sentence = sentences.gain_sentence(results)
    assert "no detectable difference" in sentence and "raised" not in sentence
    assert "undefined" in sentences.recovery_sentence(results)
    assert "0.0" in sentence and "-0.0 points" not in sentence


def test_a_loss_is_called_a_loss(tmp_path):
    results = study(tmp_path, problems_held_out=0.05)
    assert sentences.gain_sentence(results).startswith("RLVR lowered")
    assert "training lowered the score" in sentences.recovery_sentence(results)


def test_rank_1_and_its_controls_are_told_together(tmp_path):
    sentence = sentences.recovery_sentence(study(tmp_path)).replace(sentences.NBSP, " ")
    assert "The rank-1 part of the updates alone keeps 75 % [" in sentence
    assert "what is left without it keeps 50 % [" in sentence
    assert "norm keeps no share of the gain that can be told from zero" in sentence
    assert sentence.endswith("the gain is not in the rank-1 part alone.")


def test_nothing_is_concluded_when_the_control_cannot_be_told_from_zero(tmp_path):
    results = edited(study(tmp_path), "recovery", "without_rank1", low=-0.1)
    assert "not in the rank-1 part alone" not in sentences.recovery_sentence(results)


def test_a_rank_1_part_below_the_base_is_not_said_to_keep_a_share(tmp_path):
    changed = {"recovery": -0.4, "low": -0.6, "high": -0.2}
    results = edited(study(tmp_path), "recovery", "rank1", **changed)
    assert "alone falls below the base" in sentences.recovery_sentence(results)


@pytest.mark.parametrize(
    ("score", "words"),
    [(0.6, "No change in general"), (0.9, "knowledge rose"), (0.2, "knowledge fell")],
)
def test_knowledge_is_worded_by_its_interval(tmp_path, score, words):
    assert words in sentences.knowledge_sentence(study(tmp_path, wikidata_facts=score))


def test_headline_has_a_row_for_every_variant_in_plain_ascii_columns(tables):
    lines = sentences.headline(tables, RUNS).splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith("variant"))
    assert len(lines[start + 2 : start + 3 + len(KEPT)]) == len(KEPT) + 1
    assert sentences.NBSP not in sentences.headline(tables, RUNS)
    column = lines[start].index("gain kept")
    assert lines[start + 2][column:].startswith("0 %")
    assert lines[start + 3][column:].startswith("100 %")


def test_page_stands_alone(page):
    sources = re.findall(r'(?:src|href)="([^"]+)"', page)
    assert sources
    assert all(s.startswith(("data:image/svg+xml", "tables/")) for s in sources)
    assert not re.search(r"<script|<link|@import|url\(", page)


def test_page_leads_with_the_result_and_shows_all_sections(page, tables):
    lead = re.search(r'<p class="lead">(.+?)</p>', page).group(1)
    assert lead == sentences.sentences(sentences.load_results(tables))[0]
    for heading in ("Figures", "Methods", "Provenance", "Data"):
        assert f"<h2>{heading}</h2>" in page
    assert re.findall(r'<figure id="(\w+)">', page) == ["recovery", "training"]
    assert page.count("<img") == 2 and 'alt="Share of the full update' in page


def test_imported_runs_are_named_with_what_is_not_known_of_them():
    assert sentences.imported_sentence((["a-seed0"], [])) == ""
    mixed = sentences.imported_sentence((["a-seed0"], ["b-seed0"]))
    assert mixed.startswith("b-seed0 was imported: what only a training shows")
    assert sentences.imported_sentence(([], ["b-seed0"])).startswith("All runs were")


def test_a_study_without_trained_runs_has_a_headline_without_their_tables(
    tables, tmp_path
):
    for name in ("scores", "differences", "recovery"):
        shutil.copy(tables / f"{name}.tsv", tmp_path)
    text = sentences.headline(tmp_path, ([], RUNS[0]))
    assert "All runs were imported" in text and "overfitting" not in text


def test_figures_say_their_sample_sizes(page):
    sizes = "two runs; 200 held-out items, 200 shifted items, 400 knowledge items."
    assert page.count(sizes) == 2


def test_page_shows_provenance_and_escapes_it(page):
    assert "config.hash" in page and "&lt;abc&gt;" in page and "<abc>" not in page


def test_headline_file_is_the_headline(page, tables):
    text = (tables.parent / "headline.txt").read_text()
    assert text == sentences.headline(tables, RUNS)


@pytest.mark.parametrize("name", FIGURES)
def test_every_figure_has_a_caption_that_names_its_tables(name):
    caption = FIGURES[name].caption
    publish_parts(caption, writer="html5", settings_overrides={"halt_level": 2})
    assert all(f"``{table}``" in caption for table in FIGURES[name].tables)


def test_the_overview_is_valid_restructuredtext():
    text = (TEXTS / "workflow.rst").read_text()
    publish_parts(text, writer="html5", settings_overrides={"halt_level": 2})


def test_figures_without_benchmark_items_say_no_sample_sizes(tables, tmp_path):
    (tmp_path / "spectra.svg").write_text("<svg/>")
    block = pages.figure_block(tmp_path / "spectra.svg", "Sample: one run.")
    assert block["sizes"] == ""
    assert block["alt"].startswith("Singular values of the updates over their")


def test_yaml_provenance_must_be_a_mapping(tmp_path):
    path = tmp_path / "provenance.yaml"
    path.write_text("a: {b: 1}\n")
    assert pages.flatten(pages.read_provenance(path)) == [("a.b", "1")]
    path.write_text("- a\n")
    with pytest.raises(UserError, match="expected a mapping, found list"):
        pages.read_provenance(path)


def test_study_without_rank_1_or_knowledge_still_has_a_headline(tables, tmp_path):
    for name in ("scores", "differences", "recovery"):
        table = read_table(tables / f"{name}.tsv")
        keep = (table["domain"] != "knowledge") & table["variant"].isin(
            ["base", "full"]
        )
        write_table(table[keep], tmp_path / f"{name}.tsv")
    for name in sentences.ARM_TABLES:
        shutil.copy(tables / f"{name}.tsv", tmp_path)
    text = sentences.headline(tmp_path, RUNS)
    assert (
        "RLVR raised" in text and "rank-1" not in text and "knowledge rose" not in text
    )


def test_an_intervention_gets_its_verdict_and_a_row(tmp_path):
    arms = {"full": None, "prs": "rank1", "shrunk": "shrunk"}
    results = sentences.load_results(write_tables(tmp_path, arms=arms))
    sentence = sentences.overfitting_sentence(results).replace(sentences.NBSP, " ")
    assert sentence.startswith(
        "Implicit reward overfitting is supported for prs (+40.0"
    )
    table = sentences.arm_table(results).set_index("arm")
    assert table.loc["prs", "verdict"] == "supported"
    assert table.loc["shrunk", "verdict"] == "–"
    assert table.loc["prs", "training"].startswith("40")


def test_without_interventions_nothing_is_said_of_them(tables):
    results = sentences.load_results(tables)
    assert sentences.overfitting_sentence(results) == ""
    assert sentences.arm_table(results).empty


def test_the_page_begins_with_the_claims(page):
    assert page.index("<h2>Claims</h2>") < page.index("<h2>Variants</h2>")
    assert "one supported" not in page
    assert "1 supported, 1 contradicted, 1 what the null gives as well" in page
    assert "A statement that is contradicted (prs). arXiv 0000.00000" in page
    assert "n = 1,200" in page


def test_a_claim_says_when_other_code_made_its_runs():
    found = sentences.claims_rows(claims_rows().assign(code="made by other code"))
    assert found["verdict"].str.endswith("; runs made by other code").all()
    plain = sentences.claims_rows(claims_rows().assign(code=""))
    assert not plain["verdict"].str.contains("code").any()


def test_only_an_undetermined_claim_tells_its_power():
    rows = sentences.claims_rows(claims_rows()).set_index("verdict")
    assert [text for text in rows.index if "power" in text] == [
        "undetermined: a rule; power 42 % at an effect of 0.1"
    ]


def test_a_study_without_claims_has_no_section_for_them(tables):
    empty = claims_rows().iloc[:0]
    assert sentences.claims_sentence(empty) == ""
    assert sentences.claims_rows(empty).empty
