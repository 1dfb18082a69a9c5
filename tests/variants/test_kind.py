"""A kind of variant is one file: in the package, or of the user's own."""

import ast
import json
import os
import subprocess
import sys
from dataclasses import replace

import pytest

from conftest import ROOT
from rankone.errors import UserError
from rankone.registry import PLUGINS
from rankone.variants.grammar import check_served, parse
from rankone.variants.kind import KINDS, Parameter, VariantKind, listed, names_of

SCRIPTS = ROOT / "workflow" / "scripts"
TOY = '''
"""A kind of the user's own: the leading triplets with their signs turned."""

from rankone.variants.kind import KINDS, Parameter, VariantKind


def opposite(update, number):
    """The first triplets, in the opposite direction."""
    factors = update.factors
    return -factors.left[:, :number], factors.sigma[:number], factors.right[:number]


KINDS.add(
    VariantKind(
        name="rank_opposed",
        label="opposite of rank",
        description="the leading triplets, subtracted",
        examples=("rank_opposed1",),
        parameter=Parameter.COUNT,
        control=True,
        low_rank=opposite,
        rescalable=True,
    )
)
'''
USE = """
import json, sys
from rankone.registry import name_plugins
from rankone.variants import documentation, grammar
from rankone.report import style

name_plugins([sys.argv[1]])
light = "torch" not in sys.modules
recipe = grammar.parse("2x_rank_opposed2_rescaled_in_layer1")
import torch
from rankone.linalg import svd
from rankone.variants import apply
from rankone.variants.apply import MatrixUpdate

whole = torch.randn(6, 5, generator=torch.Generator().manual_seed(0))
update = MatrixUpdate(svd.exact(whole, 1), whole.clone, 0, "w")
change = apply.change(recipe, update)
expected = -2 * apply.change(grammar.parse("rank2_rescaled"), update)
print(json.dumps({
    "light": light,
    "kind": recipe.kind.name,
    "label": style.variant_label(recipe.name),
    "marker": style.variant_marker(recipe.name),
    "applied": torch.allclose(change, expected, atol=1e-5),
    "documented": "`rank_opposedK`, `rank_opposedPpct`" in documentation.table(),
    "named": "rank_opposed1" in grammar.examples(),
}))
"""


def test_a_kind_from_a_plugin_is_parsed_labelled_documented_and_applied(tmp_path):
    plugin = tmp_path / "toy_kind.py"
    plugin.write_text(TOY)
    environment = {k: v for k, v in os.environ.items() if k != PLUGINS}
    found = subprocess.run(
        [sys.executable, "-c", USE, str(plugin)],
        env=environment | {"PYTHONPATH": str(SCRIPTS)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(found.stdout) == {
        "light": True,
        "kind": "rank_opposed",
        "label": "2 x opposite of rank 2, rescaled in layer 1",
        "marker": "D",
        "applied": True,
        "documented": True,
        "named": True,
    }


# The colour of a variant that the figures are about.
OTHER_WORDS = {("shrunk", "rankone/report/style.py")}


def test_no_module_that_reads_recipes_names_a_kind():
    """Else a new kind would need more than one file."""
    kinds, named, readers = set(KINDS), set(), 0
    for file in SCRIPTS.rglob("*.py"):
        text = file.read_text("utf-8")
        own = file.parent == SCRIPTS / "rankone" / "variants" / "kinds"
        if own or "rankone.variants" not in text:
            continue
        readers += 1
        where = file.relative_to(SCRIPTS).as_posix()
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.Constant) and node.value in kinds:
                named.add((node.value, where))
    assert readers > 5 and named == OTHER_WORDS


def test_every_file_of_a_kind_has_the_name_of_its_kind():
    modules = {KINDS.module(name).rpartition(".")[2] for name in KINDS}
    assert modules == set(KINDS)


@pytest.mark.parametrize("name", list(KINDS))
def test_the_examples_of_a_kind_are_of_that_kind(name):
    kind = KINDS[name]
    assert kind.examples and kind.label and kind.description
    assert all(parse(example).kind is kind for example in kind.examples)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"name": "Rank"}, "no possible name"),
        ({"name": "rank_in_two"}, "no possible name"),
        ({"share": lambda update: 1.0}, "2 of low_rank, share and dense"),
        ({"low_rank": None}, "0 of low_rank, share and dense"),
        ({"parameter": Parameter.NONE}, "neither its name nor fixed_rank says which"),
    ],
)
def test_a_kind_that_means_nothing_is_refused(changes, sentence):
    with pytest.raises(UserError, match=sentence):
        replace(KINDS["rank"], **changes)


def test_a_kind_without_a_number_may_have_a_fixed_rank(monkeypatch):
    kind = VariantKind(
        name="full_first",
        label="first",
        description="the first triplet",
        examples=("full_first",),
        low_rank=KINDS["rank"].low_rank,
        fixed_rank=1,
    )
    monkeypatch.setitem(KINDS.entries, kind.name, kind)
    recipe = parse("0.5x_full_first_in_layer0")
    assert recipe.kind is kind and recipe.scale == 0.5
    assert (recipe.number(8), recipe.triplets(8), recipe.adapter_rank(8)) == (0, 0, 1)
    check_served(recipe, "base")


def test_names_of_kinds_are_listed_in_their_order():
    assert listed(names_of(lambda kind: kind.low_rank)) == (
        "rank, random_rank and direction"
    )
    assert listed(["rank"]) == "rank"
