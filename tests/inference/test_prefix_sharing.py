"""A shared context computed once: same log-probabilities, gradients and generations."""

import copy

import pytest
import torch
from datasets import Dataset
from hypothesis import given, settings
from hypothesis import strategies as st

from rankone.evaluation import hf_backend
from rankone.inference import prefix_sharing
from rankone.training import grpo_trainer
from rankone.training.settings import Schedule
from saved import requests
from tiny import make_model, make_tokenizer

MODEL = make_model()
TOKENS = st.integers(3, 40)
CONTEXT = st.lists(TOKENS, min_size=1, max_size=6)
CONTINUATION = st.lists(TOKENS, min_size=1, max_size=4)


def direct(context, continuation):
    """Log-probabilities of a continuation from the plain model."""
    logits = MODEL(torch.tensor([context + continuation])).logits[0]
    scores = logits.log_softmax(-1)[len(context) - 1 : -1]
    return scores[range(len(continuation)), continuation]


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(CONTEXT, st.lists(CONTINUATION, min_size=1)), min_size=1))
@torch.no_grad()
def test_packed_sequences_give_every_continuation_its_own_log_probability(groups):
    contexts, continuations = zip(*groups, strict=True)
    inputs = prefix_sharing.pack(contexts, continuations, torch.device("cpu"))
    labels = inputs.pop("shift_labels")
    scores = MODEL(**inputs).logits.log_softmax(-1)
    found = scores.gather(-1, labels.clamp(min=0)[..., None])[..., 0][labels != -100]
    expected = [direct(c, t) for c, tails in groups for t in tails]
    torch.testing.assert_close(found, torch.cat(expected), atol=1e-5, rtol=1e-4)


def trainer(tmp_path, share, monkeypatch):
    """A trainer of the tiny model, with or without sharing."""
    monkeypatch.setattr(prefix_sharing, "can_share", lambda model: share)
    options = {"per_device_train_batch_size": 12, "num_generations": 4}
    grpo = options | {"learning_rate": 1e-2, "max_completion_length": 3, "bf16": False}
    schedule = Schedule(max_steps=2, export_steps=[2])
    tokenizer = make_tokenizer()
    tokenizer.padding_side = "left"
    prompts = ["1 + 1 = 2\n3 + 4 =", "2 + 2 =", "5 + 5 =", "2 + 7 =", "1 ="]
    made = grpo_trainer.Trainer(
        model=copy.deepcopy(MODEL),
        args=grpo_trainer.arguments(grpo, schedule, 0, tmp_path / str(share)),
        reward_funcs=lambda completions, **_: [float("1" in c) for c in completions],
        train_dataset=Dataset.from_list([{"prompt": p} for p in prompts]),
        processing_class=tokenizer,
    )
    made.train()
    return made


def test_training_with_shared_prompts_gives_the_same_weights(tmp_path, monkeypatch):
    weights = [
        dict(trainer(tmp_path, share, monkeypatch).model.named_parameters())
        for share in (True, False)
    ]
    before = dict(MODEL.named_parameters())
    for name, weight in weights[0].items():
        moved = (weight - before[name]).abs().max()
        assert moved > 0
        assert (weight - weights[1][name]).abs().max() < 0.02 * moved


def test_shared_prompts_save_tokens(tmp_path, monkeypatch):
    shared = trainer(tmp_path, True, monkeypatch)
    seen = []
    shared.model.register_forward_pre_hook(
        lambda module, args, options: seen.append(options["input_ids"].numel()),
        with_kwargs=True,
    )
    ids = torch.tensor([[5, 6, 7, 8, 9, 10, token] for token in range(11, 19)])
    logps, entropies, _ = shared._get_per_token_logps_and_entropies(
        shared.model, ids, torch.ones_like(ids), 1
    )
    assert seen == [5 + 8]
    assert logps.shape == entropies.shape == (8, 1)


@pytest.mark.parametrize("prompts", [["1 + 2 ="] * 3 + ["= 2\n4 + 4 ="] * 2, ["1"] * 2])
def test_generation_is_the_same_with_one_prefill_a_prompt(prompts):
    tokenizer = make_tokenizer()
    batch = tokenizer(prompts, return_tensors="pt", padding=True, padding_side="left")
    options = {"max_new_tokens": 5, "do_sample": True, "temperature": 1.0}
    outputs = []
    for generate in (MODEL.generate, prefix_sharing.prefill_once(MODEL)):
        torch.manual_seed(0)
        inputs = {"input_ids": batch.input_ids, "attention_mask": batch.attention_mask}
        outputs.append(generate(**inputs, **options))
    assert torch.equal(*outputs)


def test_choices_that_share_a_question_score_as_in_lm_eval(monkeypatch):
    pairs = [(q, f" {c}") for q in ("sun is", "a", "rain on") for c in ("hot", "wet 1")]
    pairs = pairs[::2] + pairs[1::2]
    lm = hf_backend.wrap(MODEL, make_tokenizer(), 4)
    shared = lm.loglikelihood(requests(pairs))
    monkeypatch.setattr(hf_backend, "can_share", lambda model: False)
    plain = lm.loglikelihood(requests(pairs))
    assert [greedy for _, greedy in shared] == [greedy for _, greedy in plain]
    values = [[value for value, _ in scores] for scores in (shared, plain)]
    assert values[0] == pytest.approx(values[1], abs=1e-4)


def test_a_question_too_long_for_the_model_is_left_to_lm_eval():
    pairs = [("a" * 200, " b"), ("a" * 200, " c")]
    scores = hf_backend.wrap(MODEL, make_tokenizer(), 4).loglikelihood(requests(pairs))
    assert len(scores) == 2


def test_batches_hold_about_as_many_continuations_as_asked():
    groups = {"a": [0, 1], "b": [2], "c": [3, 4, 5], "d": [6]}
    assert list(hf_backend.batches(list("abcd"), groups, 3)) == [
        ["a", "b"],
        ["c"],
        ["d"],
    ]
