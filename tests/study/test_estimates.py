"""Estimates against measured studies; limits that grow with models and attempts."""

import json
from pathlib import Path

import pandas as pd
import pytest
import torch
from safetensors.torch import save_file

from conftest import ROOT
from rankone.errors import UserError
from rankone.settings import plain, read_section
from rankone.study import estimates
from rankone.study.runs import expand
from rankone.study.settings import training_settings
from rankone.training.settings import TrainingSettings
from rankone.weights.settings import Model
from shipped import config, given

MEASURED = pd.read_csv(ROOT / "benchmarks" / "estimates.tsv", sep="\t")
LARGE = {"hub": "owner/model", "revision": "0" * 40, "parameters": 7_615_616_512}


STUDIES = {"embedded": config(), "substitution": config("substitution")}


@pytest.mark.parametrize("study", STUDIES)
def test_the_published_comparison_is_of_the_present_formulas(study):
    costs = estimates.costs(STUDIES[study])
    for row in MEASURED[MEASURED["study"] == study].itertuples():
        cost = costs[row.rule]
        assert row.estimated_seconds == round(cost.seconds(row.work))
        assert row.requested_mb == estimates.megabytes(cost, attempt=1)


def test_no_measured_job_would_have_met_its_limits():
    for row in MEASURED.itertuples():
        cost = estimates.costs(STUDIES[row.study])[row.rule]
        assert row.peak_mb < row.requested_mb
        assert row.seconds < 60 * estimates.minutes(cost, row.work, attempt=1)


def test_memory_is_asked_for_within_reason():
    ratios = MEASURED["requested_mb"] / MEASURED["peak_mb"]
    assert ratios[MEASURED["rule"] == "train"].max() < 2
    assert ratios.max() < 8


def test_the_time_of_a_study_is_estimated_within_a_factor_of_two():
    sums = MEASURED.groupby("study")[["seconds", "estimated_seconds"]].sum()
    assert (sums["estimated_seconds"] / sums["seconds"]).between(0.5, 2).all()


def test_a_larger_model_needs_more_of_everything():
    small, large = (estimates.costs(config(model=m)) for m in (given()["model"], LARGE))
    for rule, cost in small.items():
        assert large[rule].mem_mb > cost.mem_mb
        assert large[rule].seconds(1) > cost.seconds(1)


def test_training_keeps_weights_gradients_and_moments_in_float32():
    state = 16 * LARGE["parameters"] / 1e6
    found = estimates.gpu_mb(config(model=LARGE))
    assert state < found < 1.2 * state
    assert estimates.gpu_mb(config(model=LARGE, lora={"r": 8})) < found / 2


def test_longer_answers_and_larger_batches_take_longer():
    usual, grpo = config(model=LARGE), given()["grpo"]
    for change in ({"max_completion_length": 12}, {"per_device_train_batch_size": 128}):
        changed = config(model=LARGE, grpo=grpo | change)
        assert estimates.step_seconds(changed) > estimates.step_seconds(usual)


def test_a_gpu_twice_as_fast_takes_less_time_for_passes_alone():
    slow, fast = (config(hardware={"tflops": speed}) for speed in (1, 2))
    one, two = estimates.step_seconds(slow), estimates.step_seconds(fast)
    assert one / 2 < two < one


@pytest.mark.parametrize("run", ["full-seed0", "prs-seed0"])
def test_substitutions_are_measured_before_and_after(run):
    from rankone.training.measurement import measure_points

    study, found = config(), expand(config())[run]
    params = training_settings(study, plain(study, given()), found)
    points = measure_points(read_section(TrainingSettings, params))
    estimated = estimates.measurements(study, found.intervention)
    assert estimated == pytest.approx(len(points), abs=1)


def test_a_second_attempt_gets_more_memory_and_time():
    cost = estimates.costs(config(model=LARGE))["evaluate"]
    assert estimates.megabytes(cost, 2) == pytest.approx(1.5 * cost.mem_mb, abs=1)
    assert estimates.minutes(cost, 8, 2) == 2 * estimates.minutes(cost, 8, 1)


def test_training_goes_on_and_so_asks_for_a_day_at_most():
    schedule = {"max_steps": 10**6, "export_steps": [10**6]}
    cost = estimates.costs(config(model=LARGE, schedule=schedule))["train"]
    assert estimates.minutes(cost, 2, 1) == estimates.minutes(cost, 2, 3) == 24 * 60


def test_weights_of_a_folder_are_counted_from_its_headers(tmp_path):
    shards = [{"a": torch.zeros(3, 5)}, {"b": torch.zeros(7, dtype=torch.bfloat16)}]
    for number, tensors in enumerate(shards):
        save_file(tensors, tmp_path / f"model-{number}.safetensors", {"format": "pt"})
    shard_of = {"weight_map": {"a": "model-0.safetensors", "b": "model-1.safetensors"}}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(shard_of))
    assert estimates.parameters(Model(path=str(tmp_path))) == 22


@pytest.mark.parametrize("content", [b"", b"\xff" * 64, b"cut off in the middle"])
def test_a_damaged_file_is_named(tmp_path, content):
    file = Path(tmp_path, "model.safetensors")
    file.write_bytes(content)
    with pytest.raises(UserError, match="model.safetensors is not a whole"):
        estimates.parameters(Model(path=str(tmp_path)))


def test_the_summary_counts_jobs_and_hours():
    costs = {
        "train": estimates.Cost(2, 1000, 0, 1800),
        "decompose": estimates.Cost(0, 1000, 3600, 0),
    }
    totals = {"tflops": 100, "gpu": 25, "peak": 200, "kept": 150}
    text = estimates.summary(costs, {"train": [1, 3], "decompose": [0, 0]}, totals)
    assert "GPU hours: 4.00 in 2 jobs: train 4.00 (2)" in text
    assert "CPU hours: 2.00 in 2 jobs: decompose 2.00 (2)" in text
    assert "train: 25 GB" in text and "200 GB at the most, 150 GB at the end" in text
