"""Runs, steps, variants, tables and files of a study."""

import pytest

from rankone.study import selection
from rankone.study.runs import Run
from rankone.training.settings import Intervention
from shipped import config

PLAIN = Run(arm="full", seed=0, steps=[4, 8])
PRS, LAST = (
    Run(
        arm=arm,
        seed=0,
        steps=[4, 8],
        intervention=Intervention(period=2, recipe="rank1", reference=reference),
    )
    for arm, reference in (("prs", "base"), ("last", "last"))
)
GIVEN = Run(arm="given", seed=0, steps=[3, 9], sources={3: "x", 9: "y"})
RUNS = {"full-seed0": PLAIN, "prs-seed0": PRS, "last-seed0": LAST, "given-seed0": GIVEN}
EXACT = {"domain": "mathematics", "metric": "exact_match"}
CONFIG = config(
    analyze={"parts": ["trajectories", "samples", "geometry"]},
    artefacts={"adapters": ["rank1"], "models": ["full"]},
    decompose={"updates": ["global", "local"]},
    probes={"splits": ["held_out"]},
    benchmarks={
        "gsm8k": EXACT | {"hub": "a/b", "revision": "main"},
        "mmlu_sample": {"domain": "knowledge", "metric": "acc"},
        "problems_held_out": EXACT,
    },
)


def test_runs_are_trained_here_or_imported():
    assert selection.trained_runs(RUNS) == ["full-seed0", "prs-seed0", "last-seed0"]
    assert selection.imported_runs(RUNS) == ["given-seed0"]


def test_an_intervention_makes_a_run_a_modified_one():
    assert selection.unmodified_runs(RUNS) == ["full-seed0", "given-seed0"]


def test_updates_that_start_anew_are_no_trajectory():
    assert selection.followed_runs(RUNS) == ["full-seed0", "prs-seed0", "given-seed0"]


def test_exported_are_the_steps_of_trained_runs_alone():
    assert selection.exported_steps(RUNS) == [4, 8]
    assert selection.exported_steps({"given-seed0": GIVEN}) == []


def test_a_modified_run_is_evaluated_at_its_last_step_alone():
    assert selection.evaluated_steps(RUNS) == [
        *(("full-seed0", 4), ("full-seed0", 8)),
        *(("prs-seed0", 8), ("last-seed0", 8)),
        *(("given-seed0", 3), ("given-seed0", 9)),
    ]


def test_answers_are_sampled_of_the_base_and_of_every_last_step():
    found = selection.sampled_steps(RUNS)
    assert found[0] == ("base", 0) and found[-1] == ("given-seed0", 9)
    assert len(found) == 1 + len(RUNS)


@pytest.mark.parametrize(
    ("run", "step", "expected"),
    [
        ("base", 0, ["base"]),
        ("full-seed0", 8, ["full", "rank1"]),
        ("full-seed0", 4, ["full"]),
        ("prs-seed0", 8, ["full"]),
        ("given-seed0", 9, ["full", "rank1"]),
    ],
)
def test_variants_are_made_at_the_end_of_unmodified_runs(run, step, expected):
    assert selection.variants_at(["full", "rank1"], RUNS, run, step) == expected


def test_the_step_before_is_read_for_local_updates_alone():
    assert selection.previous_step(CONFIG, GIVEN, 9) == 3
    assert selection.previous_step(CONFIG, GIVEN, 3) is None
    alone = config(decompose={"updates": ["global"]})
    assert selection.previous_step(alone, GIVEN, 9) is None


def test_training_reads_its_problems_and_the_probes_once():
    assert selection.train_input_splits(CONFIG) == ["train", "held_out"]
    again = config(probes={"splits": ["train_probe"]})
    assert selection.train_input_splits(again) == ["train", "train_probe"]


def test_benchmarks_are_told_apart_by_where_their_items_are():
    assert list(selection.hub_benchmarks(CONFIG)) == ["gsm8k"]
    assert selection.packaged_benchmarks(CONFIG) == ["mmlu_sample"]


def test_tables_are_those_of_what_is_analysed():
    assert selection.analyses(CONFIG) == ["samples", "geometry", "trajectories"]
    assert selection.all_tables(CONFIG, RUNS) == selection.KNOWN_TABLES
    nothing = config(analyze={"parts": []})
    found = selection.all_tables(nothing, {"given-seed0": GIVEN})
    assert found == selection.SCORE_TABLES


def test_tables_of_rewards_are_those_of_trained_runs():
    tables = selection.analysis_tables
    assert set(tables(RUNS)) - set(tables({"given-seed0": GIVEN})) == set(
        selection.TRAINING_TABLES
    )


def test_an_arm_without_an_intervention_has_no_recipe():
    arms = {"full": {}, "prs": {"intervention": {"period": 2, "recipe": "rank1"}}}
    found = selection.intervention_recipes(config(arms=arms))
    assert found == {"full": None, "prs": "rank1"}


def test_products_are_of_the_steps_and_runs_that_each_rule_takes():
    made = selection.products(CONFIG, RUNS)
    assert len(made["decompose"]) == len(made["evaluate"]) == 6
    assert "results/tails/prs-seed0/step-8.values.parquet" not in made["tails"]
    assert made["trajectory"][-1] == "results/trajectory/given-seed0.parquet"
    assert made["write_adapter"][0] == "results/adapters/full-seed0/step-8/rank1"
    less = config(analyze={"parts": []})
    left = ["decompose", "evaluate", "write_adapter", "write_merged"]
    assert list(selection.products(less, RUNS)) == left


def test_products_of_a_run_are_its_own():
    made = selection.products(CONFIG, RUNS)
    found = [f for run in RUNS for f in selection.products_of(run, made)]
    assert sorted(found) == sorted(f for files in made.values() for f in files)
    assert all("prs-seed0" in f for f in selection.products_of("prs-seed0", made))
    assert "results/trajectory/prs-seed0.parquet" in selection.products_of(
        "prs-seed0", made
    )
