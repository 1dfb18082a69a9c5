"""The work of jobs, their share of a machine, and what a start says."""

import pytest

from rankone.errors import UserError
from rankone.study import estimates, plan
from rankone.study.runs import expand
from shipped import config

CONFIG = config()
RUNS = expand(CONFIG)
COSTS = estimates.costs(CONFIG)


@pytest.mark.parametrize(
    ("rule", "wildcards", "expected"),
    [
        ("train", {"run": "full-seed0"}, 6),
        ("train", {"run": "prs-seed0"}, 14),
        ("evaluate", {"run": "base", "step": "0"}, 1),
        ("evaluate", {"run": "full-seed0", "step": "20"}, 8),
        ("evaluate", {"run": "full-seed0", "step": "4"}, 1),
        ("sample", {"run": "full-seed0", "step": "20"}, 4),
        ("tails", {"run": "base", "step": "0"}, 0),
        ("tails", {"run": "full-seed0", "step": "20"}, 1),
        ("trajectory", {"run": "full-seed0"}, 5),
        ("prepare_model", {}, 0),
    ],
)
def test_the_work_of_a_job_is_in_units_of_its_rule(rule, wildcards, expected):
    assert plan.job_work(CONFIG, RUNS, rule, wildcards) == expected


def test_the_workload_has_every_job_of_the_heavy_rules():
    jobs = [("trajectory", {"run": run}) for run in RUNS]
    jobs += [("report", {}), ("prepare_model", {})]
    found = plan.workload(CONFIG, RUNS, jobs, COSTS)
    assert found == {"trajectory": [5, 5, 5], "prepare_model": [0]}


def test_fewer_gpus_than_a_job_asks_for_are_refused():
    costs = {"train": estimates.Cost(4, 1, 1, 1)}
    plan.check_gpus(costs, None)
    plan.check_gpus(costs, 4)
    with pytest.raises(UserError, match="gpu=2, but a job .* asks for 4 GPUs"):
        plan.check_gpus(costs, 2)


@pytest.mark.parametrize(
    ("cores", "jobs", "share"), [(8, 2, 4), (2, 8, 1), (64, 1, 16)]
)
def test_jobs_side_by_side_share_the_cores(cores, jobs, share):
    assert plan.share_of_cores(cores, jobs, most=16) == share


def test_the_plan_says_what_is_trained_and_what_it_costs():
    text = plan.plan_text(CONFIG, RUNS, COSTS, {"train": [6, 14]})
    assert "Study embedded: 3 runs of 20 steps, exported at 4, 8, 12, 16, 20" in text
    assert "(3 arms); 8 variants, 7 benchmarks." in text
    assert "in 2 jobs: train" in text and "GPU memory to train" in text


def test_imported_runs_are_counted_with_their_checkpoints():
    arms = {"given": {"import": {"steps": {1: "x/y@main", 2: "x/z@main"}}}}
    study = config(arms=arms)
    text = plan.runs_text(study, expand(study))
    assert text == "1 imported runs with 2 checkpoints"


def test_the_last_words_are_the_headline_and_the_page(tmp_path):
    headline = tmp_path / "headline.txt"
    assert plan.final_message(headline, tmp_path / "report.html") == "Done."
    headline.write_text("Rank 1 keeps 90 %.")
    text = plan.final_message(headline, tmp_path / "report.html")
    assert text.startswith("Rank 1 keeps 90 %.") and text.endswith("report.html")
