"""Errors a user will make: one clear sentence each, before anything runs."""

import shutil

import pytest
import yaml

import shipped
import tiny
from rankone.errors import UserError
from rankone.evaluation import tasks
from rankone.study import disk, estimates, validation
from rankone.study.config import read
from rankone.study.yaml_keys import check_keys
from rankone.training.method import METHODS
from rankone.weights.settings import Model
from saved import rewrite, save_adapter, save_trained

EXACT = {"domain": "mathematics", "metric": "exact_match"}


@pytest.fixture
def config(tmp_path):
    """The tiny study, as it is given, with artefacts."""
    artefacts = {"adapters": ["rank1"], "models": ["full"]}
    path = tiny.save_study(tmp_path, artefacts=artefacts, launch={"processes": 1})
    return yaml.safe_load(path.read_text())


def refused(config, sentence):
    with pytest.raises(UserError, match=sentence):
        validation.load(config)


def test_the_tiny_study_is_accepted(config):
    validation.load(config)


def test_a_step_beyond_the_run_is_refused(config):
    config["schedule"]["export_steps"] = [2, 9]
    refused(config, r"export_steps: \[9\] lie beyond max_steps = 8")


def test_a_hub_model_of_unknown_size_is_refused(config):
    config["model"] = {"hub": "owner/model", "revision": "0" * 40}
    refused(config, "model.parameters: give the number of weights of owner/model")


def test_a_batch_that_does_not_split_into_groups_is_refused(config):
    config["grpo"]["num_generations"] = 24
    refused(config, "128 completions a step cannot be split .* num_generations = 24")


def test_an_accumulated_batch_is_counted_whole(config):
    config["grpo"] |= {"gradient_accumulation_steps": 3, "num_generations": 24}
    validation.load(config)


def test_the_batches_of_all_processes_are_split_into_groups_together(config):
    config["grpo"] |= {"per_device_train_batch_size": 8, "num_generations": 32}
    refused(config, "8 completions a step cannot be split")
    config["launch"] |= {"processes": 4}
    validation.load(config)


def test_processes_that_cannot_be_spread_over_the_nodes_are_refused(config):
    config["launch"] |= {"processes": 3, "nodes": 2}
    refused(config, "3 processes cannot be spread evenly over 2 nodes")


def test_an_unknown_grpo_field_is_refused_with_a_hint(config):
    config["grpo"]["learning_rat"] = 1
    refused(config, "learning_rat is not a field .* Did you mean learning_rate")


def test_an_unknown_method_is_refused_with_the_known_ones(config):
    config["arms"]["full"]["method"] = "grop"
    refused(config, r"arms.full.method: The training method 'grop' is unknown; .* grpo")


def test_a_grpo_field_that_rankone_sets_is_refused(config):
    for name in ("max_steps", "fsdp"):
        config["grpo"] = {name: 10}
        refused(config, f"grpo.{name} is set by Rankone")


def test_an_unknown_variant_is_refused(config):
    config["variants"].append("rank_one")
    refused(config, "^variants.5: .*'rank_one' is unknown.*expected e.g. full")
    config["variants"].pop()
    config["sample"]["variants"][1] = "rank_one"
    refused(config, "^sample.variants.1: .*'rank_one' is unknown")


def test_more_directions_than_vllm_serves_are_refused(config):
    config["variants"] += ["rank513", "direction513", "without_rank513"]
    validation.load(config)
    config["evaluate"]["backend"] = "vllm"
    refused(config, "rank513 needs an adapter of rank 513, but vLLM serves at most 512")
    config["others"], config["artefacts"]["adapters"] = "trained", []
    validation.load(config)


def test_an_engine_argument_that_rankone_sets_is_refused(config):
    config["evaluate"]["vllm"] = {"max_lora_rank": 8}
    refused(config, "evaluate.vllm.max_lora_rank is set by Rankone")


@pytest.mark.parametrize("kind", ["adapters", "models"])
def test_an_unknown_variant_among_the_artefacts_is_refused(config, kind):
    config["artefacts"][kind].append("rank_one")
    refused(config, "'rank_one' is unknown")


def test_an_adapter_of_a_variant_without_a_known_rank_is_refused(config):
    config["artefacts"]["adapters"].append("without_rank1")
    refused(config, "without_rank1 has no known low rank.*artefacts.models")


def test_a_merged_model_may_be_any_variant(config):
    config["artefacts"]["models"] += ["without_rank1", "bulk_matched", "0.5x_full"]
    validation.load(config)


def test_more_triplets_than_are_stored_may_be_asked_for(config):
    config["variants"] += ["rank20", "rank50pct"]
    validation.load(config)


def test_an_unknown_benchmark_is_refused(config):
    config["benchmarks"]["problems_heldout"] = EXACT
    refused(config, "problems_heldout is no task of Rankone .*held_out.* needs `hub`")


def test_a_benchmark_of_lm_eval_itself_is_accepted(config):
    place = {"hub": "openai/gsm8k", "revision": "main"}
    config["benchmarks"]["gsm8k"] = EXACT | place
    validation.load(config)


@pytest.mark.parametrize(
    ("name", "folder"),
    [
        ("gsm8k", "gsm8k"),
        ("minerva_math500", "minerva_math"),
        ("aime25", "aime"),
        ("mmlu", "mmlu"),
        ("arc_challenge", "arc"),
        ("no_such_task", None),
    ],
)
def test_a_task_of_lm_eval_is_found_by_its_name(name, folder):
    found = tasks.lm_eval_folder(name)
    assert (found.name if found else None) == folder


@pytest.mark.parametrize(
    ("pattern", "sentence"),
    [
        ("config.json", "has no config.json"),
        ("*.safetensors", r"has no \*.safetensors weights"),
        ("tokenizer*", "has no tokenizer files"),
    ],
)
def test_an_incomplete_model_folder_is_refused(config, tmp_path, pattern, sentence):
    for file in (tmp_path / "model").glob(pattern):
        file.unlink()
    refused(config, sentence)


def test_too_many_problems_are_refused(config):
    config["problems"]["sizes"]["train"] = 1000
    refused(config, "has 81 different problems")


def test_a_disk_that_is_too_full_is_refused(tmp_path):
    (tmp_path / "half").write_bytes(b"x" * 1000)
    room = shutil.disk_usage(".").free
    disk.check_disk(room // 2, [])
    with pytest.raises(UserError, match=r"GB free, but exports .* GB more"):
        disk.check_disk(room * 2, [str(tmp_path)])


def test_a_study_needs_room_for_base_exports_merged_models_and_state():
    models = {"models": ["rank1"]}
    kept, passing = (
        shipped.config(artefacts=models, checkpoints=how) for how in ("keep", "temp")
    )
    model, steps = 134_515_008 * 4, len(kept.schedule.export_steps)
    durable = model * (1 + 3 * (steps + 1))
    assert disk.disk_needed(kept) == (durable + model * disk.STATE_COPIES, durable)
    less = model * (1 + 3 * (steps * disk.DECOMPOSED + 1))
    assert disk.disk_needed(passing) == (
        round(less + model * (disk.STATE_COPIES + steps)),
        round(less),
    )


def test_an_imported_adapter_needs_room_for_its_factors_alone(config, tmp_path):
    save_adapter(tmp_path / "adapter", base="model")
    config["artefacts"]["models"], config["checkpoints"] = [], "keep"
    config["arms"] = {"given": {"import": {"steps": {4: str(tmp_path / "adapter")}}}}
    base = 4 * estimates.parameters(Model(**config["model"]))
    factors = 4 * 3 * 2 * (32 + 32 + 48 + 32)
    assert disk.disk_needed(read(config)) == (base + factors,) * 2


@pytest.fixture
def steps(config, tmp_path):
    """The steps of an imported arm beside the trained ones; one checkpoint is there."""
    save_trained(tmp_path / "given")
    steps = {4: str(tmp_path / "given")}
    config["arms"]["given"] = {"import": {"steps": steps}}
    return steps


def test_an_import_beside_trained_arms_is_accepted(config, steps):
    validation.load(config)


def test_a_study_that_only_imports_needs_no_schedule(config, steps):
    config["arms"] = {"given": config["arms"]["given"]}
    del config["schedule"]
    validation.load(config)


def test_a_trained_arm_needs_a_schedule(config, steps):
    del config["schedule"]
    refused(config, "schedule is missing, but full, prs is trained here")


@pytest.mark.parametrize(
    ("source", "sentence"),
    [
        ("nowhere", "arms.given.import, step 8: nowhere is not a folder"),
        ("given", r"step 8 of given-seed0: .*given is given for step 4 .*, too"),
        ("tasks", "tasks has no config.json"),
        ("other", "step 8: .*other has another architecture .*norm.weight is missing"),
    ],
)
def test_an_import_that_is_not_there_or_does_not_fit_is_refused(
    config, steps, tmp_path, source, sentence
):
    save_trained(tmp_path / "other")
    rewrite(
        tmp_path / "other", lambda t: {n: v for n, v in t.items() if "norm" not in n}
    )
    steps[8] = str(tmp_path / source) if source != "nowhere" else source
    refused(config, sentence)


def test_two_seeds_need_two_trajectories(config, steps, tmp_path):
    config["arms"]["given"]["seeds"] = [1, 2]
    refused(config, "given is given for step 4 of given-seed1, too; .*{seed}")
    for seed in (1, 2):
        save_trained(tmp_path / f"run-{seed}", seed=seed)
    steps[4] = str(tmp_path / "run-{seed}")
    validation.load(config)


def test_an_import_cannot_have_an_intervention(config, steps):
    config["arms"]["prs"]["import"] = {"steps": steps}
    refused(config, "arms.prs has an import and an intervention")


def test_interventions_are_compared_with_a_trained_arm(config, steps):
    arms = config["arms"]
    config["arms"] = {"given": arms.pop("given"), **arms}
    refused(config, "the first one, given, is imported, but prs is compared with")


def test_a_step_given_twice_in_a_file_is_refused(tmp_path):
    path = tmp_path / "config.yaml"
    path.write_text("arms:\n  a: {import: {steps: {10: x, 20: y}}}\n")
    check_keys(path)
    path.write_text("arms:\n  a: {import: {steps: {10: x, 10: y}}}\n")
    with pytest.raises(UserError, match="config.yaml: 10 is given twice, after line 2"):
        check_keys(path)


def test_hard_links_count_once(tmp_path):
    (tmp_path / "a").write_bytes(b"x" * 100)
    (tmp_path / "b").hardlink_to(tmp_path / "a")
    assert disk.disk_used([str(tmp_path)]) == 100


def test_grpo_fields_are_those_of_the_installed_trl():
    import dataclasses

    from trl import GRPOConfig

    fields = {field.name for field in dataclasses.fields(GRPOConfig)}
    assert validation.class_fields(METHODS["grpo"].sources) == fields


def test_lora_fields_are_those_of_the_installed_peft():
    import dataclasses

    from peft import LoraConfig

    fields = {field.name for field in dataclasses.fields(LoraConfig)}
    assert fields <= validation.class_fields(validation.LORA_SOURCES)


@pytest.mark.parametrize(
    ("lora", "reason"),
    [
        ({"lora_alfa": 8}, "lora_alfa is not a field of peft.LoraConfig. Did you mean"),
        ({"use_dora": True}, "only plain LoRA factors can be decomposed"),
    ],
)
def test_a_lora_setting_that_cannot_be_used_is_refused(lora, reason):
    with pytest.raises(UserError, match=reason):
        validation.check_lora(lora)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"recipe": "rank_1"}, "'rank_1' is unknown"),
        ({"period": 9}, "no multiple of the period 9 lies between steps 1 and 8"),
        ({"from_step": 7}, "no multiple of the period 3 lies between steps 7 and 8"),
        (
            {"optimizer_state": "project", "recipe": "shrunk"},
            "project is for rankK recipes",
        ),
    ],
)
def test_an_intervention_that_means_nothing_is_refused(config, change, reason):
    config["arms"]["prs"]["intervention"] |= change
    refused(config, reason)


def test_the_first_arm_is_the_one_without_an_intervention(config):
    config["arms"] = dict(reversed(config["arms"].items()))
    refused(config, "the first one, prs, has an intervention")


def test_an_intervention_under_sharded_training_is_refused(config):
    config["launch"] |= {"processes": 2, "config": "fsdp2"}
    refused(config, "under launch.config = fsdp2 no process has whole matrices")
    config["launch"]["processes"] = 1
    validation.load(config)


def test_a_projection_needs_the_moments_of_plain_adam(config):
    config["arms"]["prs"]["intervention"]["optimizer_state"] = "project"
    config["grpo"]["optim"] = "adafactor"
    refused(config, "project needs grpo.optim to be one of .* found adafactor")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"reference": "last"}, "reference: last needs updates of growing rank"),
        ({"recipe": "rank9"}, "factors of rank 8 cannot hold rank9"),
        ({"recipe": "bulk_matched"}, "cannot hold bulk_matched"),
    ],
)
def test_what_lora_factors_cannot_hold_is_refused(config, change, reason):
    config["lora"] = {}
    config["arms"]["prs"]["intervention"] |= change
    refused(config, reason)
