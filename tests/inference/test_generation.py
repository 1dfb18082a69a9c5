"""Completions: their own random numbers, the distribution of the model, greedy."""

from dataclasses import replace

import pytest
import torch

from rankone.inference import generation
from rankone.inference.generation import Draw
from rankone.inference.settings import Decoding
from tiny import make_model, make_tokenizer

PLAIN = Decoding(tokens=4)


def draws(scores: torch.Tensor, number: int, how: Decoding) -> torch.Tensor:
    """How often each token is drawn."""
    generator = torch.Generator().manual_seed(0)
    rows = scores.expand(number, -1)
    found, greedy = rows, torch.zeros(number, dtype=torch.bool)
    for processor in generation.processors(how, generator, greedy):
        found = processor(None, found)
    return torch.bincount(found.argmax(-1), minlength=scores.numel())


def test_tokens_are_drawn_from_the_models_distribution():
    scores = torch.tensor([0.0, 1.0, -1.0, 2.0, -torch.inf])
    expected = scores.softmax(0) * 20_000
    counts = draws(scores, 20_000, PLAIN)
    assert counts[-1] == 0
    deviation = (counts - expected)[:-1] / expected[:-1].sqrt()
    assert deviation.abs().max() < 4


def test_a_low_temperature_sharpens_and_top_k_cuts():
    scores = torch.tensor([0.0, 1.0, 2.0, 3.0])
    cold = draws(scores, 1000, replace(PLAIN, temperature=0.05))
    assert cold[3] == 1000
    assert (draws(scores, 1000, replace(PLAIN, top_k=2))[:2] == 0).all()
    assert (draws(scores, 1000, replace(PLAIN, top_p=0.5))[:3] == 0).all()
    assert (draws(scores, 1000, replace(PLAIN, min_p=0.3))[:2] == 0).all()


@pytest.mark.parametrize("number", [0.0, 1 - 2**-24])
def test_the_ends_of_the_distribution_are_tokens(number, monkeypatch):
    monkeypatch.setattr(torch, "rand", lambda *size, **_: torch.full(size, number))
    drawn = Draw(torch.Generator(), torch.tensor([False]))(None, torch.zeros(1, 7))
    assert drawn.isfinite().sum() == 1


def test_greedy_rows_get_the_best_token_whatever_is_drawn():
    scores = torch.tensor([[0.0, 0.1, 0.0]]).expand(600, -1)
    greedy = torch.arange(600) % 2 == 0
    tokens = Draw(torch.Generator().manual_seed(0), greedy)(None, scores).argmax(-1)
    assert (tokens[greedy] == 1).all()
    assert set(tokens[~greedy].tolist()) == {0, 1, 2}


def complete(prompts, size=4, seed=0):
    return generation.complete(
        *(make_model(), make_tokenizer(), prompts, [True] * len(prompts), PLAIN),
        **{"size": size, "seed": seed},
    )


def test_greedy_completions_do_not_depend_on_the_seed_or_the_batch():
    prompts = [f"{i} + 1 =" for i in range(6)]
    assert complete(prompts) == complete(prompts, size=6, seed=1)


def test_samples_depend_on_the_seed_and_leave_the_global_state_alone():
    prompts = ["1 + 1 ="] * 8
    before = torch.get_rng_state()
    torch.manual_seed(5)
    state = torch.get_rng_state()
    model, tokenizer = make_model(), make_tokenizer()
    torch.set_rng_state(state)
    asked = model, tokenizer, prompts, [False] * 8, PLAIN
    options = {"size": 8}
    first = generation.complete(*asked, seed=0, **options)
    assert torch.equal(torch.get_rng_state(), state)
    again = generation.complete(*asked, seed=0, **options)
    other = generation.complete(*asked, seed=1, **options)
    assert first == again and first != other and len(set(first)) > 1
    torch.set_rng_state(before)


def test_a_completion_ends_with_its_line():
    model, tokenizer = make_model(), make_tokenizer()
    generation.stop_at(model, tokenizer, ["\n"])
    assert model.generation_config.eos_token_id == [
        tokenizer.convert_tokens_to_ids("\n"),
        tokenizer.eos_token_id,
    ]


def test_a_completion_has_no_tokens_after_its_end():
    rows = torch.tensor([[5, 6, 1, 0, 0], [5, 2, 7, 1, 0], [5, 6, 7, 8, 9]])
    assert generation.up_to_end(rows, [1, 2]) == [[5, 6, 1], [5, 2], [5, 6, 7, 8, 9]]
