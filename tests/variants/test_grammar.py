"""The grammar of variants: what every name means, and what is wrong with others."""

import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conftest import ROOT
from rankone.errors import UserError
from rankone.names import MODULES
from rankone.variants import grammar
from rankone.variants.grammar import Recipe, check_adapter, parse
from rankone.variants.kind import KINDS

modules = st.sets(st.sampled_from(MODULES), min_size=1)
layers = st.tuples(st.integers(0, 99), st.integers(0, 99)).map(sorted)


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("full", {"kind": "full"}),
        ("shrunk", {"kind": "shrunk"}),
        ("bulk_matched", {"kind": "bulk_matched"}),
        ("rank16", {"kind": "rank", "rank": 16}),
        ("rank5pct", {"kind": "rank", "percent": 5.0}),
        ("rank0.5pct", {"kind": "rank", "percent": 0.5}),
        ("rank4_rescaled", {"kind": "rank", "rank": 4, "rescaled": True}),
        ("without_rank1", {"kind": "without_rank", "rank": 1}),
        ("without_rank10pct", {"kind": "without_rank", "percent": 10.0}),
        ("random_rank2", {"kind": "random_rank", "rank": 2}),
        ("direction3", {"kind": "direction", "rank": 3}),
        ("2x_full", {"kind": "full", "scale": 2.0}),
        ("0.5x_rank1", {"kind": "rank", "rank": 1, "scale": 0.5}),
    ],
)
def test_a_name_says_its_recipe(name, parts):
    assert parse(name) == Recipe(name, **parts | {"kind": KINDS[parts["kind"]]})


@given(modules, layers, st.booleans())
def test_places_are_read_in_any_order(named, span, swapped):
    first, last = span
    where = [f"_in_{'+'.join(named)}", f"_in_layers{first}-{last}"]
    recipe = parse("rank1" + "".join(where[::-1] if swapped else where))
    assert (recipe.modules, recipe.layers) == (named, (first, last))
    for layer in (first - 1, first, last, last + 1):
        for module in MODULES:
            inside = first <= layer <= last and module in named
            assert recipe.covers(layer, module) == inside


def test_of_several_places_of_one_sort_all_must_hold():
    recipe = parse("full_in_layers2-9_in_layers0-4_in_q_proj+k_proj_in_q_proj")
    assert recipe.layers == (2, 4) and recipe.modules == {"q_proj"}


def test_one_layer_is_a_range_of_one():
    assert parse("rank1_in_layer7").layers == (7, 7)


def test_a_recipe_without_places_covers_every_matrix():
    assert all(parse("rank1").covers(layer, "q_proj") for layer in range(100))


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("half", "there is no such kind"),
        ("Rank1", "there is no such kind"),
        ("rank", "there is no such kind"),
        ("rank_1", "there is no such kind"),
        ("-1x_full", "there is no such kind"),
        ("full1", "'1' does not belong there"),
        ("rank1.5", "'.5' does not belong there"),
        ("rank1_rescald", "'_rescald' does not belong there"),
        ("rank1_in_q_proj/..", "'/..' does not belong there"),
        ("0x_rank1", "LAMBDA must be more than 0"),
        ("rank0", "K and I count from 1"),
        ("direction0", "K and I count from 1"),
        ("rank0pct", "P must be more than 0 and at most 100"),
        ("rank101pct", "P must be more than 0 and at most 100"),
        ("direction5pct", "a direction has a number, not a percentage"),
        ("shrunk_rescaled", "only rank and random_rank can be _rescaled"),
        ("direction1_rescaled", "only rank and random_rank can be _rescaled"),
        ("rank1_in_w_proj+q_proj", "w_proj is none of q_proj, k_proj, "),
        ("rank1_in_layers3", "layers3 is none of q_proj, k_proj, "),
        ("rank1_in_q_proj_in_k_proj", "its modules exclude each other"),
        ("rank1_in_layers5-2", "its range of layers is empty"),
        ("rank1_in_layer1_in_layer2", "its range of layers is empty"),
    ],
)
def test_the_wrong_part_of_a_name_is_told_with_examples(name, reason):
    with pytest.raises(UserError) as error:
        parse(name)
    assert f"Variant {name!r} is unknown: {reason}" in str(error.value)
    assert "expected e.g. full, rank1" in str(error.value)


def test_every_example_of_the_error_is_in_the_grammar():
    assert all(parse(name).name == name for name in grammar.examples())


@pytest.mark.parametrize(
    ("name", "short", "count"),
    [
        ("rank4", 100, 4),
        ("rank4", 3, 3),
        ("rank1pct", 4096, 41),
        ("rank1pct", 8, 1),
        ("rank100pct", 8, 8),
        ("rank1.1pct", 3000, 33),
        ("rank10pct", 30, 3),
    ],
)
def test_a_percentage_of_the_short_side_is_rounded_up(name, short, count):
    assert parse(name).triplets(short) == count


@pytest.mark.parametrize(
    "name", ["0.5x_rank1", "rank5pct", "direction2", "random_rank1"]
)
def test_variants_of_low_rank_fit_an_adapter(name):
    check_adapter(parse(name), "base")


@pytest.mark.parametrize("name", ["full", "shrunk", "without_rank1", "bulk_matched"])
def test_other_variants_are_sent_to_merged_models(name):
    with pytest.raises(UserError, match=f"{name} has no known low rank.*artefacts.mod"):
        check_adapter(parse(name), "base")


def test_an_adapter_cannot_hold_trained_norms_and_embeddings():
    with pytest.raises(UserError, match="others: trained.*cannot hold.*artefacts.mod"):
        check_adapter(parse("rank1"), "trained")


def test_the_grammar_needs_no_torch():
    code = (
        "import sys; import rankone.variants.grammar; sys.exit('torch' in sys.modules)"
    )
    path = {"PYTHONPATH": str(ROOT / "workflow" / "scripts")}
    assert subprocess.run([sys.executable, "-c", code], env=path).returncode == 0
