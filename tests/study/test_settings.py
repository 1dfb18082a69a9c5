"""What decides results: the plain values that jobs get, and nothing else."""

from rankone.settings import plain
from rankone.study import settings
from rankone.study.config import Config
from rankone.study.runs import expand
from shipped import config, given


def study(**changes) -> tuple[Config, dict]:
    """The typed config and its plain values."""
    found = config(**changes)
    return found, plain(found, given(**changes))


def training(name: str, **changes) -> dict:
    found, values = study(**changes)
    return settings.training_settings(found, values, expand(found)[name])


def test_a_run_is_decided_by_its_training_alone():
    found = training("prs-seed0")
    assert list(found) == [
        *("grpo", "lora", "schedule", "probes", "launch", "seed", "intervention"),
        "trust_remote_code",
    ]
    assert found["intervention"]["recipe"] == "rank1" and found["seed"] == 0
    others = {"evaluate": {"seed": 7}, "variants": ["full"], "study": "other"}
    assert training("prs-seed0", **others, hardware={"tflops": 1}) == found


def test_values_of_jobs_have_the_order_and_the_text_that_they_were_given_in():
    intervention = {"recipe": "rank1", "period": 5}
    arms = {"full": {}, "prs": {"intervention": intervention}}
    schedule = {"save_steps": 5, "export_steps": [20, 10], "max_steps": 20}
    changes = {"arms": arms, "schedule": schedule, "lora": {"r": 8, "lora_alpha": 8.0}}
    found = training("prs-seed0", **changes)
    assert repr(found["schedule"]) == repr(schedule)
    assert repr(found["lora"]) == "{'r': 8, 'lora_alpha': 8.0}"
    assert list(found["intervention"])[:3] == ["recipe", "period", "reference"]
    sample = {"top_p": 1, "temperature": 1}
    found = settings.sample_settings(*study(sample=sample))
    assert repr({name: found[name] for name in sample}) == repr(sample)


def test_scores_do_not_depend_on_the_names_of_variants_or_runs():
    found = settings.evaluation_settings(*study())
    others = {"variants": ["full"], "arms": {"other": {}}}
    assert settings.evaluation_settings(*study(**others)) == found
    assert found["seed"] == 0


def test_own_problems_end_as_in_training_and_others_as_their_task_says():
    found = settings.evaluation_settings(*study())["benchmarks"]
    own = found["problems_held_out"]["generation"]
    assert own == {"until": ["\n"], "max_gen_toks": 6}
    assert found["unit_conversion"]["generation"] == {}
    benchmarks = given()["benchmarks"]
    benchmarks["problems_held_out"]["generation"] = {"max_gen_toks": 9}
    found = settings.evaluation_settings(*study(benchmarks=benchmarks))["benchmarks"]
    assert found["problems_held_out"]["generation"]["max_gen_toks"] == 9


def test_sampled_answers_are_as_long_as_in_training_unless_said():
    found = settings.sample_settings(*study())
    assert found["tokens"] == 6 and "variants" not in found
    assert settings.sample_settings(*study(sample={"tokens": 3}))["tokens"] == 3


def test_an_artefact_is_decided_by_precision_model_others_and_seed():
    found = settings.artefact_settings(*study())
    assert list(found) == ["dtype", "model", "others", "seed"]
    models = {"artefacts": {"models": ["rank1"]}}
    assert settings.artefact_settings(*study(**models)) == found


def test_analyses_have_their_draws():
    analyze = config().analyze
    assert settings.spectra_settings(analyze) == {"tail_draws": 2, "fit_draws": 10}
    assert settings.bootstrap_settings(analyze) == {"seed": 0, "draws": 10000}
