"""Every figure comes from its table alone, with the same bytes each time."""

from functools import cache

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib import pyplot as plt

from plot import main
from rankone.errors import UserError
from rankone.report.figure import FIGURES, NEEDS, draw, figures_of
from rankone.report.figures.scores import final_step
from rankone.report.style import (
    COLOURS,
    save,
    spread,
    variant_label,
    variant_marker,
    variant_order,
)
from rankone.tables_io import read_table
from synthetic import BASE_SCORES, FULL_SCORES, write_tables

ARMS = {"full": None, "prs": "rank1", "shrunk": "shrunk", "noop": "full"}
OF_STUDIES = [figure.name for figure in figures_of(set(NEEDS) - {"calibration"})]
STUDIES = {
    "two runs": {"runs": ("full-seed0", "full-seed1"), "steps": (2, 4), "arms": ARMS},
    "one run, one step": {"runs": ("full-seed0",), "steps": (4,), "arms": ARMS},
}


@pytest.fixture(scope="module", params=STUDIES)
def study(request, tmp_path_factory):
    return write_tables(tmp_path_factory.mktemp("study"), **STUDIES[request.param])


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_tables(tmp_path_factory.mktemp("study"))


@pytest.fixture(scope="module")
def tables(folder):
    return {path.stem: read_table(path) for path in folder.iterdir()}


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


def paths(folder, name):
    """The files of a figure's tables."""
    return [folder / table for table in FIGURES[name].tables]


@cache
def drawing(folder, name):
    """A figure, drawn once for all tests."""
    return draw(name, *map(read_table, paths(folder, name)))


def texts(figure):
    return " ".join(text.get_text() for text in figure.findobj(plt.Text))


@pytest.mark.parametrize("name", OF_STUDIES)
def test_figure_has_no_empty_axes(study, name):
    figure = drawing(study, name)
    assert figure.axes
    for axes in figure.axes:
        assert axes.lines or axes.collections or axes.patches
        assert axes.has_data()


@pytest.mark.parametrize("name", OF_STUDIES)
def test_nothing_is_cut_off_at_the_edge(study, name, tmp_path):
    figure = drawing(study, name)
    save(figure, [tmp_path / "figure.png"])
    drawn, (width, height) = figure.get_tightbbox(), figure.get_size_inches()
    assert min(drawn.x0, drawn.y0) >= 0
    assert drawn.x1 <= width and drawn.y1 <= height


@pytest.mark.parametrize("name", OF_STUDIES)
def test_the_same_tables_give_the_same_bytes(folder, name, tmp_path):
    # Other formats are drawn from the same strokes; what they add is the same for all.
    formats = ("svg", "pdf", "png") if name == "training" else ("svg",)
    for attempt in ("a", "b"):
        outputs = [tmp_path / f"{attempt}.{end}" for end in formats]
        main(name, paths(folder, name), outputs)
    for end in formats:
        first, second = ((tmp_path / f"{a}.{end}").read_bytes() for a in "ab")
        assert first == second
        assert len(first) > 1000


def test_known_variants_have_distinct_colours_and_labels():
    labels = {variant_label(name) for name in COLOURS}
    assert len(set(COLOURS.values())) == len(labels) == len(COLOURS)


@pytest.mark.parametrize(
    ("name", "label"),
    [
        ("base", "base"),
        ("full", "full update"),
        ("1x_full", "1 x full update"),
        ("0.5x_rank1", "0.5 x rank 1"),
        ("rank5pct_rescaled", "rank 5 %, rescaled"),
        ("direction3", "direction 3"),
        ("bulk_matched", "bulk matched (control)"),
        ("rank1_in_k_proj+q_proj_in_layers0-9", "rank 1 in q_proj, k_proj, layers 0-9"),
    ],
)
def test_a_variants_label_says_its_recipe(name, label):
    assert variant_label(name) == label


def test_points_of_a_sweep_are_in_the_order_of_their_numbers():
    names = ["10x_rank1", "rank100", "0.5x_rank1", "rank20", "2x_rank1", "full"]
    expected = ["full", "rank20", "rank100", "0.5x_rank1", "2x_rank1", "10x_rank1"]
    assert variant_order(names) == expected


@pytest.mark.parametrize(
    ("name", "marker"),
    [("without_rank5pct", "D"), ("0.5x_bulk_matched", "D"), ("direction2", "o")],
)
def test_controls_are_diamonds_whatever_their_numbers(name, marker):
    assert variant_marker(name) == marker


def test_a_variant_without_a_fixed_colour_is_drawn_last(tables):
    scores = tables["scores"].replace({"variant": {"rank16": "rank_99"}})
    assert variant_order(scores["variant"])[-1] == "rank_99"
    assert "rank 99" in texts(draw("accuracy_by_variant", scores))


def test_recovery_without_a_gain_says_so(tmp_path):
    folder = write_tables(tmp_path, full=BASE_SCORES)
    figure = draw("recovery", read_table(folder / "recovery.tsv"))
    assert "gain not distinguishable from zero" in texts(figure)
    assert not figure.axes


def test_recovery_names_the_benchmark_that_has_no_gain(tmp_path):
    full = {**FULL_SCORES, "problems_shifted": BASE_SCORES["problems_shifted"]}
    folder = write_tables(tmp_path, full=full)
    figure = draw("recovery", read_table(folder / "recovery.tsv"))
    assert len(figure.axes) == 1
    assert "Shifted problems: undefined" in texts(figure)


def test_recovery_of_the_full_update_alone_is_a_message(tables):
    figure = draw("recovery", tables["recovery"].iloc[:0])
    assert "only the full update" in texts(figure)


def test_recovery_prints_its_values(tables):
    row = tables["recovery"].query(
        "run == 'all' and step == 4 and variant == 'rank1' "
        "and benchmark == 'problems_held_out'"
    )
    low, high = row[["low", "high"]].iloc[0]
    shown = f"0.75 [{low:.2f}, {high:.2f}]"
    assert shown in texts(draw("recovery", tables["recovery"]))


def test_runs_that_share_no_step_are_refused(tables):
    scores = tables["scores"][tables["scores"]["run"] != "all"]
    with pytest.raises(UserError, match="share no evaluated step"):
        final_step(scores)


def test_training_without_evaluation_shows_the_reward_alone(tables):
    rewards = tables["training"].query("quantity == 'reward'")
    assert len(draw("training", rewards).axes) == 1


def test_knowledge_missing_is_said(tables):
    rows = tables["differences"].query("domain == 'mathematics'")
    assert "both needed" in texts(draw("mathematics_vs_knowledge", rows))


def test_unchanged_matrix_does_not_break_the_spectra(tables):
    table = tables["spectra"].copy()
    dead = table["tensor"] == "layers.0.q_proj.weight"
    table.loc[dead, ["sigma", "frobenius_norm"]] = 0.0
    figure = draw("spectra", table)
    values = figure.axes[0].lines[0].get_ydata()
    assert np.isfinite(values).all()


def test_unknown_figure_and_format_are_refused(tables, tmp_path):
    with pytest.raises(UserError, match="The figure 'pie' is unknown; expected one"):
        draw("pie", pd.DataFrame())
    with pytest.raises(UserError, match=r"expected one of \.svg"):
        save(draw("training", tables["training"]), [tmp_path / "figure.gif"])


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12), st.floats(0.01, 0.1))
def test_labels_are_spread_apart_in_their_order(positions, gap):
    moved = spread(positions, gap)
    order = np.argsort(positions, kind="stable")
    assert (np.diff(moved[order]) >= 0.9 * gap).all()


def test_figures_of_interventions_say_when_there_is_none(tables):
    for name, table in (("reward_curves", "probes"), ("overfitting", "overfitting")):
        assert "No arm has an intervention" in texts(draw(name, tables[table]))


def test_a_map_of_steps_has_the_measured_cosines_above_the_null(tables):
    figure = draw("alignment", tables["alignment"])
    axes = figure.axes[0]
    values = np.array(axes.collections[0].get_array()).reshape(4, 4)
    assert values[0, 1] == pytest.approx(0.95**2)  # square, left: steps 2 and 4
    np.testing.assert_allclose(
        np.tril(values, -1), np.triu(values, 1).T - 0.1 * (np.tril(np.ones((4, 4)), -1))
    )
    assert np.isnan(np.diag(values)).all()


def test_steps_that_cannot_be_compared_are_a_message(tables):
    table = tables["alignment"]
    for rows in (table.iloc[:0], table.assign(cosine=np.nan)):
        assert "No two steps" in texts(draw("alignment", rows))
    unknown = tables["alignment_contrast"].assign(z=np.nan)
    assert "No pairs" in texts(draw("alignment_contrast", unknown))


def test_square_matrices_alone_are_in_colour(tables):
    figure = draw("alignment_contrast", tables["alignment_contrast"])
    assert "(+0.05 shuffled)" in texts(figure)
    markers = {line.get_marker() for line in figure.axes[0].lines}
    assert {"s", "o"} <= markers
    filled = {
        line.get_markerfacecolor()
        for line in figure.axes[0].lines
        if line.get_marker() == "o"
    }
    assert filled == {"white"}


def test_two_exported_steps_have_no_trajectory(tables):
    table = tables["trajectory_matrices"].assign(steps=2)
    assert "Fewer than three" in texts(draw("trajectory", table))


def test_the_arms_of_a_study_have_a_panel_each(tmp_path):
    folder = write_tables(tmp_path, arms=ARMS)
    figure = draw("probes", read_table(folder / "probes.tsv"))
    assert [axes.get_title("left") for axes in figure.axes] == list(ARMS)


def test_arms_are_drawn_beside_the_variants_of_the_first_one(study):
    titles = [axes.get_title("left") for axes in drawing(study, "pass_at_k").axes]
    variants = ["full update", "rank 1", "without rank 1", "full, shrunk"]
    assert titles == [*variants, "arm prs", "arm shrunk", "arm noop"]
    for name in ("forgetting", "retention"):
        assert all(title in texts(drawing(study, name)) for title in titles)


def test_forgetting_without_a_curve_says_so(tables):
    empty = [tables[name].iloc[:0] for name in ("forgetting", "forgetting_curve")]
    assert "three variants" in texts(draw("forgetting", *empty))


def test_no_forgetting_at_all_has_no_share_of_variance(tables):
    points, curve = tables["forgetting"], tables["forgetting_curve"]
    assert "R²" not in texts(draw("forgetting", points, curve.assign(r2=np.nan)))
    assert "R²" in texts(draw("forgetting", points, curve.assign(r2=0.5, r2_out=0.1)))


def test_retention_shows_the_benchmarks_that_there_are(tables):
    rows = tables["retention"]
    knowledge = rows[rows["domain"] == "knowledge"]
    assert len(draw("retention", knowledge).axes) == 1
    neither = knowledge[knowledge["benchmark"] != "mean"]
    assert "None of the benchmarks" in texts(draw("retention", neither))


def test_the_calibration_shows_every_claim_and_its_power():
    rows = [
        {"claim": claim, "scenario": "noise", "strength": strength, "n": 100}
        | {"rate": rate, "low": rate / 2, "high": rate + 0.1}
        for claim in ("striped", "off_principal")
        for strength, rate in ((0.0, 0.04), (0.5, 0.6), (0.9, 0.9))
    ]
    for name in ("calibration", "power"):
        found = texts(draw(name, pd.DataFrame(rows)))
        assert "striped" in found and "off principal" in found


def test_the_claims_are_marked_with_their_verdicts(tables):
    found = texts(draw("claims", tables["claims"]))
    for word in ("supported", "contradicted", "null-compatible", "undetermined"):
        assert word in found
