"""What decides results: the plain values that jobs get, and nothing else."""

import pytest
import yaml

from conftest import ROOT
from rankone.study import settings
from rankone.study.config import complete
from rankone.study.runs import expand


@pytest.fixture
def config() -> dict:
    path = ROOT / "config" / "config.yaml"
    return complete(yaml.safe_load(path.read_text()))


def test_a_run_is_decided_by_its_training_alone(config):
    run = expand(config)["prs-seed0"]
    found = settings.training_settings(config, run)
    assert list(found) == [
        *("grpo", "lora", "schedule", "probes", "launch", "seed", "intervention"),
        "trust_remote_code",
    ]
    assert found["intervention"]["recipe"] == "rank1" and found["seed"] == 0
    config["evaluate"]["seed"], config["variants"] = 7, ["full"]
    config["hardware"]["tflops"], config["study"] = 1, "other"
    assert settings.training_settings(config, expand(config)["prs-seed0"]) == found


def test_scores_do_not_depend_on_the_names_of_variants_or_runs(config):
    found = settings.evaluation_settings(config)
    config["variants"] = ["full"]
    config["arms"] = {"other": config["arms"]["full"]}
    assert settings.evaluation_settings(config) == found
    assert found["seed"] == config["evaluate"]["seed"]


def test_own_problems_end_as_in_training_and_others_as_their_task_says(config):
    found = settings.evaluation_settings(config)["benchmarks"]
    own = found["problems_held_out"]["generation"]
    assert own == {"until": ["\n"], "max_gen_toks": 6}
    assert found["unit_conversion"]["generation"] == {}
    config["benchmarks"]["problems_held_out"]["generation"] = {"max_gen_toks": 9}
    found = settings.evaluation_settings(config)["benchmarks"]
    assert found["problems_held_out"]["generation"]["max_gen_toks"] == 9


def test_sampled_answers_are_as_long_as_in_training_unless_said(config):
    found = settings.sample_settings(config)
    assert found["tokens"] == 6 and "variants" not in found
    config["sample"]["tokens"] = 3
    assert settings.sample_settings(config)["tokens"] == 3


def test_an_artefact_is_decided_by_precision_model_others_and_seed(config):
    found = settings.artefact_settings(config)
    assert list(found) == ["dtype", "model", "others", "seed"]
    config["artefacts"]["models"] = ["rank1"]
    assert settings.artefact_settings(config) == found


def test_analyses_have_their_draws(config):
    assert settings.spectra_settings(config) == {"tail_draws": 2, "fit_draws": 10}
    assert settings.bootstrap_settings(config) == {"seed": 0, "draws": 10000}
