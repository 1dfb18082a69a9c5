"""Sampled answers are the model's, and so are their log-probabilities and KL."""

import math

import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy import float32
from torch.distributions import Categorical, kl_divergence

import sample
from rankone.data.source import problem_sets, read_problems
from rankone.data.verifier import correct
from rankone.files import write_jsonl
from rankone.inference import sampled_answers
from rankone.inference.sampled_answers import token_kl
from rankone.inference.settings import SampleSettings
from saved import save_step
from tiny import make_model, make_tokenizer, study

SETTINGS = {
    **{
        "split": "held_out",
        "problems": 3,
        "samples": 5,
        "kl_samples": 2,
        "batch_size": 8,
        "tokens": 4,
    },
    **{"temperature": 1.0, "top_p": 1.0, "dtype": "float32"},
    **{"others": "base", "seed": 0, "trust_remote_code": False},
}
ANSWER_COLUMNS = ["problem", "sample", "response", "correct", "tokens"]
KEY = ["run", "step", "variant"]
BASE, MODEL, TOKENIZER = make_model(0), make_model(1), make_tokenizer()
for either in (BASE, MODEL):
    sampled_answers.prepare(either, TOKENIZER, ["\n"])

logits = arrays(float32, (3, 7), elements=st.floats(-30, 30, width=32))


@pytest.fixture(scope="module")
def step(tmp_path_factory):
    """A base folder, a checkpoint, its factors, and problems."""
    folder = tmp_path_factory.mktemp("step")
    problems = problem_sets(read_problems(study(folder)["problems"]), {})
    write_jsonl(folder / "problems.jsonl", problems["held_out"])
    return *save_step(folder), str(folder / "problems.jsonl")


def sampled(folder, step, names, run="full-seed0", **settings):
    """The tables of answers and KL that the script writes."""
    model, checkpoint, factors, problems = step
    outputs = {name: str(folder / f"{name}.parquet") for name in ("answers", "kl")}
    sample.main(
        *(run, 4, names, model, problems, checkpoint, factors),
        *(SampleSettings(**SETTINGS | settings), outputs),
    )
    return [pd.read_parquet(path) for path in outputs.values()]


def problem_rows(step):
    return sample.read_jsonl(step[3])[: SETTINGS["problems"]]


def test_every_variant_has_its_answers_judged_by_the_verifier(step, tmp_path):
    found, kl = sampled(tmp_path, step, ["full", "shrunk"])
    assert set(found) == {*KEY, *ANSWER_COLUMNS, "logp", "base_logp"}
    assert set(kl) == {*KEY, *ANSWER_COLUMNS, "kl"}
    for table, samples in ((found, 5), (kl, 2)):
        sizes = table.groupby(["variant", "problem"]).size()
        assert len(sizes) == 2 * 3 and (sizes == samples).all()
        assert not table.duplicated(["variant", "problem", "sample"]).any()
    asked = {row["id"]: row for row in problem_rows(step)}
    expected = correct(
        list(found["response"]), [asked[name] for name in found["problem"]]
    )
    assert found["correct"].tolist() == expected
    assert found["tokens"].between(1, 4).all()
    assert (found[["logp", "base_logp"]] < 0).all(axis=None)
    assert (kl["kl"] > 0).all()


def test_an_answer_is_drawn_by_its_run_and_variant_alone(step, tmp_path):
    alone, _ = sampled(tmp_path, step, ["full"])
    both, _ = sampled(tmp_path, step, ["shrunk", "full"])
    again = both[both["variant"] == "full"].reset_index(drop=True)
    pd.testing.assert_frame_equal(alone, again)
    other, _ = sampled(tmp_path, step, ["full"], run="full-seed1")
    assert not alone["response"].equals(other["response"])
    third, _ = sampled(tmp_path, step, ["full"], seed=1)
    assert not alone["response"].equals(third["response"])


def test_a_variant_leaves_the_base_as_it_was(step, tmp_path):
    found, kl = sampled(tmp_path, step, ["full", "base"])
    base = found[found["variant"] == "base"]
    assert (base["logp"] == base["base_logp"]).all()
    assert (kl.loc[kl["variant"] == "base", "kl"] == 0).all()
    full = found[found["variant"] == "full"]
    assert (full["logp"] != full["base_logp"]).all()


def test_the_kl_is_taken_on_answers_at_temperature_one(step, tmp_path):
    _, kl = sampled(tmp_path, step, ["full"])
    cold, same = sampled(tmp_path, step, ["full"], temperature=0.01)
    pd.testing.assert_frame_equal(kl, same)
    assert cold.groupby("problem")["response"].nunique().max() == 1


def drawn(number=6):
    """Answers of the second model to prompts of different lengths."""
    rows = [{"prompt": text} for text in ("1 + 1 = 2\n3 + 4 =", "2 + 2 =", "=")]
    settings = SampleSettings(**SETTINGS)
    return sampled_answers.draw(MODEL, TOKENIZER, rows, number, settings, (0, "test"))


@torch.no_grad()
def direct(model, answer):
    """Log-probability of one answer from one plain forward pass."""
    prompt, tokens = map(list, answer)
    scores = model(torch.tensor([prompt + tokens])).logits[0].log_softmax(-1)
    return scores[len(prompt) - 1 : -1][range(len(tokens)), tokens].sum().item()


@pytest.mark.parametrize("share", [True, False])
def test_log_probabilities_are_those_of_a_plain_forward_pass(share, monkeypatch):
    monkeypatch.setattr(
        sampled_answers.prefix_sharing, "can_share", lambda model: share
    )
    monkeypatch.setattr(sampled_answers, "PASS_TOKENS", 16)
    found = drawn()
    expected = [direct(BASE, answer) for answer in found]
    assert sampled_answers.log_probabilities(BASE, found) == pytest.approx(
        expected, abs=1e-4
    )


def test_equal_answers_go_through_the_model_once():
    found, seen = drawn(40), []

    def values(inputs):
        targets = inputs["shift_labels"][inputs["shift_labels"] != -100]
        seen.append(len(targets))
        return torch.ones(len(targets))

    sums = sampled_answers.totals(values, found, share=True)
    assert sums == [len(tokens) for _, tokens in found]
    assert sum(seen) == sum(len(tokens) for _, tokens in set(found)) < sum(sums)


@given(st.lists(st.integers(1, 9), min_size=1), st.integers(1, 20))
def test_a_pass_has_at_most_so_many_tokens_or_one_answer(lengths, size):
    rows = [((3,), (4,) * length) for length in lengths]
    found = list(sampled_answers.passes(rows, size))
    assert [row for batch in found for row in batch] == rows
    for batch in found:
        assert len(batch) == 1 or sum(len(tokens) for _, tokens in batch) <= size


def every_answer(prompt, ends):
    """All answers of at most two tokens: the first one ends it, or any second one."""
    vocabulary = range(len(TOKENIZER))
    for first in vocabulary:
        if first in ends:
            yield prompt, (first,)
        else:
            yield from ((prompt, (first, second)) for second in vocabulary)


def test_the_kl_of_answers_is_that_of_the_enumerated_distribution():
    prompt = tuple(TOKENIZER("3 + 4 =")["input_ids"])
    whole = list(every_answer(prompt, BASE.generation_config.eos_token_id))
    p, q = (
        torch.tensor(
            sampled_answers.log_probabilities(model, whole), dtype=torch.float64
        )
        for model in (BASE, MODEL)
    )
    assert p.exp().sum().item() == pytest.approx(1, abs=1e-5)
    exact = (p.exp() * (p - q)).sum().item()
    kl = torch.tensor(
        sampled_answers.forward_kl(BASE, MODEL, whole), dtype=torch.float64
    )
    assert (p.exp() * kl).sum().item() == pytest.approx(exact, rel=1e-4)
    # With less noise than the tokens that were sampled.
    spread = [(p.exp() * (values - exact) ** 2).sum() for values in (kl, p - q)]
    assert spread[0] < spread[1]


def test_kl_is_that_of_the_definition_on_a_tiny_vocabulary():
    p, q = [0.5, 0.25, 0.25], [0.25, 0.25, 0.5]
    expected = sum(a * math.log(a / b) for a, b in zip(p, q, strict=True))
    found = token_kl(torch.tensor([p]).log(), torch.tensor([q]).log())
    assert found.tolist() == pytest.approx([expected])


@given(logits, logits)
@hypothesis_settings(max_examples=80, deadline=None)
def test_kl_is_torchs_and_never_negative(first, second):
    base, model = torch.from_numpy(first), torch.from_numpy(second)
    found = token_kl(base, model)
    exact = kl_divergence(
        Categorical(logits=base.double()), Categorical(logits=model.double())
    )
    assert (found >= 0).all()
    torch.testing.assert_close(found.double(), exact, rtol=1e-4, atol=1e-7)


@given(logits)
@hypothesis_settings(max_examples=30, deadline=None)
def test_kl_of_equal_models_is_zero(values):
    base = torch.from_numpy(values)
    assert (token_kl(base, base.clone()) == 0).all()
    # A constant added to all logits is the same model.
    assert token_kl(base, base + 3).max() < 1e-6


def test_a_small_kl_is_accurate_in_a_large_vocabulary():
    generator = torch.Generator().manual_seed(0)
    base = 4 * torch.randn(4, 50_000, generator=generator)
    model = base + 1e-3 * torch.randn(base.shape, generator=generator)
    log_p, log_q = (x.double().log_softmax(-1) for x in (base, model))
    exact = (log_p.exp() * (log_p - log_q)).sum(-1)
    assert exact.max() < 1e-6
    torch.testing.assert_close(token_kl(base, model).double(), exact, rtol=1e-2, atol=0)


def test_tokens_that_a_model_excludes_count_right():
    never = -math.inf
    half, sure = torch.tensor([[0.0, 0.0, never]]), torch.tensor([[0.0, never, never]])
    assert token_kl(sure, half).item() == pytest.approx(math.log(2))
    assert token_kl(half, sure).item() == math.inf
    assert token_kl(half, half).item() == 0


def test_a_token_that_the_base_hardly_ever_says_does_not_overflow():
    base, model = torch.tensor([[0.0, -100.0]]), torch.tensor([[0.0, 0.0]])
    assert token_kl(base, model).item() == pytest.approx(math.log(2))


def test_misshapen_logits_are_refused():
    with pytest.raises(ValueError, match="logits"):
        token_kl(torch.zeros(2, 3), torch.zeros(2, 4))
