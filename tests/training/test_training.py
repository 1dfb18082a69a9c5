"""Training: state that is claimed, resumed or moved aside, and results that count."""

import json

import pandas as pd
import pytest
import torch
from peft import PeftModel

import ranks
from rankone.errors import UserError
from rankone.training import fit, grpo_trainer, run_state
from rankone.training.settings import Schedule
from rankone.weights.checkpoints import check_match, export, index, own_weights
from rankone.weights.model_files import weight_files
from rankone.weights.updates import read_trained, read_update
from tiny import make_model, make_tokenizer, save_model


def checkpoint(state, step, *files):
    folder = state / f"checkpoint-{step}"
    folder.mkdir(parents=True)
    for name in files:
        (folder / name).write_text("{}")
    return folder


def test_the_last_checkpoint_is_the_newest_complete_one(tmp_path):
    checkpoint(tmp_path, 8, "trainer_state.json")
    whole = checkpoint(tmp_path, 16, "trainer_state.json")
    checkpoint(tmp_path, 24)
    cut = checkpoint(tmp_path, 32)
    (cut / "trainer_state.json").write_text('{"step": 3')
    assert run_state.last_checkpoint(tmp_path) == whole


def test_a_fresh_state_has_no_checkpoint(tmp_path):
    assert run_state.last_checkpoint(tmp_path) is None


def claim(state, seed):
    made = {"code": {}, "versions": {}}
    run_state.claim_state(state, {"seed": seed}, [], made)


def test_a_state_is_kept_for_the_same_configuration(tmp_path):
    state = tmp_path / "run"
    claim(state, seed=0)
    folder = checkpoint(state, 8, "trainer_state.json")
    claim(state, seed=0)
    assert run_state.last_checkpoint(state) == folder


def test_the_state_of_another_configuration_is_moved_aside(tmp_path):
    state = tmp_path / "run"
    claim(state, seed=0)
    checkpoint(state, 8, "trainer_state.json")
    claim(state, seed=1)
    assert run_state.last_checkpoint(state) is None
    (aside,) = tmp_path.glob("run.replaced-*")
    assert (aside / "checkpoint-8").is_dir()


def test_a_line_cut_off_by_a_kill_is_dropped(tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_text(json.dumps({"step": 1}) + '\n{"step": 2, "rew')
    assert run_state.read_metrics(path) == [{"step": 1}]


def test_the_reward_is_the_verifier():
    integers = ["integer"] * 2
    assert grpo_trainer.reward([" 4\n", " 5"], ["4", "4"], integers) == [1.0, 0.0]


def test_arguments_that_trl_refuses_are_explained(tmp_path):
    schedule = Schedule(max_steps=2, export_steps=[2])
    with pytest.raises(UserError, match="GRPOConfig refuses"):
        grpo_trainer.arguments({"num_generations": 3}, schedule, 0, tmp_path)


@pytest.fixture
def base(tmp_path):
    return weight_files(save_model(tmp_path / "model"))


def metrics(*shares):
    return pd.DataFrame({"zero_spread_share": shares, "reward": 0.0})


def test_rewards_that_never_vary_fail_the_run(base, tmp_path):
    export(make_model(1), tmp_path / "w.safetensors", {})
    with pytest.raises(UserError, match="in none of 2 steps did the rewards"):
        run_state.check_result("r", metrics(1.0, 1.0), base, tmp_path / "w.safetensors")


def test_weights_that_did_not_change_fail_the_run(base, tmp_path):
    export(make_model(0), tmp_path / "w.safetensors", {})
    with pytest.raises(UserError, match="left every weight as it was"):
        run_state.check_result("r", metrics(0.5), base, tmp_path / "w.safetensors")


def test_a_run_that_learned_passes(base, tmp_path):
    export(make_model(1), tmp_path / "w.safetensors", {})
    run_state.check_result("r", metrics(0.5, 1.0), base, tmp_path / "w.safetensors")


def test_an_unknown_value_of_a_lora_field_is_refused_in_one_sentence():
    with pytest.raises(UserError, match="lora: peft.LoraConfig refuses this"):
        fit.lora_config({"r": 4, "depth": 3})


def test_a_lora_run_exports_the_update_of_the_merged_model(tmp_path):
    tokenizer = make_tokenizer()
    tokenizer.padding_side = "left"
    grpo = {"per_device_train_batch_size": 8, "num_generations": 8, "bf16": False}
    grpo |= {"learning_rate": 1e-2, "max_completion_length": 3}
    schedule = {"max_steps": 2, "save_steps": 1, "export_steps": [2]}
    kind = {"answer": "2", "verifier": "integer", "stop": ["\n"]}
    problems = [{"prompt": f"{i} + 1 ="} | kind for i in range(4)]
    kept = []
    settings = ranks.settings(
        schedule=schedule,
        lora={"r": 2, "lora_alpha": 8, "init_lora_weights": False},
        probes={"splits": []},
        grpo=grpo,
    )
    fit.train(
        *(make_model(), tokenizer, {"train": problems}),
        *("run", settings, tmp_path, [], {}),
    )
    path = run_state.export_path(tmp_path / "exports", 2)
    merged = trained_model(tmp_path / "checkpoint-2")
    save_model(tmp_path / "base")
    base = index(weight_files(tmp_path / "base"))
    step = index([path])
    check_match(base, step, path)
    for name, weight in own_weights(merged).items():
        torch.testing.assert_close(read_trained(base, step, name), weight)
        kept.append(read_update(base, step, name).any().item())
    assert any(kept) and not all(kept)


def trained_model(folder):
    """The merged model of a trainer checkpoint, by PEFT itself."""
    return PeftModel.from_pretrained(make_model(), folder).merge_and_unload()
