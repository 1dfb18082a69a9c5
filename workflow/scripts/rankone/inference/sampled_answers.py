"""Sampled answers to fixed problems, and how likely a model finds them.

Source of the KL: RL's Razor, arXiv 2509.04259 (forgetting follows the forward KL on the
new task).
"""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence

import pandas as pd
import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from rankone.data.verifier import correct
from rankone.inference import prefix_sharing
from rankone.inference.generation import generate, stop_at
from rankone.inference.settings import Decoding, SampleSettings
from rankone.runtime.device import autocast, device
from rankone.seeding import random_generator

# Tokens of a prompt, and those of an answer with the one that ends it.
Answer = tuple[tuple[int, ...], tuple[int, ...]]
# Packed inputs -> a value for each token that they predict.
Values = Callable[[dict[str, torch.Tensor]], torch.Tensor]
# The KL of so many tokens takes about a gigabyte with a vocabulary of 50,000.
PASS_TOKENS = 512
# The model's own distribution.
PLAIN = {"temperature": 1.0, "top_p": 1.0}


def prepare(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, stop: Sequence[str]
) -> None:
    """Put a model on the device and let it answer as it did in training."""
    model.to(device())
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    stop_at(model, tokenizer, stop)
    if prefix_sharing.can_share(model):
        model.generate = prefix_sharing.prefill_once(model)


def draw(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    problems: Sequence[dict],
    samples: int,
    settings: SampleSettings,
    seed: tuple[int, str],
) -> list[Answer]:
    """So many answers to every problem, one problem after another.

    A number and a name are the `seed`.
    """
    texts = [row["prompt"] for row in problems for _ in range(samples)]
    found = generate(
        *(model, tokenizer, texts, [False] * len(texts)),
        Decoding(settings.tokens, settings.temperature, settings.top_p),
        size=settings.batch_size,
        seed=random_generator(*seed).initial_seed(),
    )
    prompts = {text: tuple(tokenizer(text)["input_ids"]) for text in set(texts)}
    return [(prompts[t], tuple(a)) for t, a in zip(texts, found, strict=True)]


def of_base(
    base: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    problems: Sequence[dict],
    settings: SampleSettings,
    seed: int,
) -> list[Answer]:
    """The base's answers for the KL, from its own distribution whatever the settings.

    They are the same in every job that has these problems, settings and seed.
    """
    with autocast(settings.dtype):
        return draw(
            *(base, tokenizer, problems, settings.kl_samples),
            *(settings.model_copy(update=PLAIN), (seed, "base:kl")),
        )


def measure(
    models: Sequence[PreTrainedModel],
    tokenizer: PreTrainedTokenizerBase,
    problems: Sequence[dict],
    reference: Sequence[Answer],
    settings: SampleSettings,
    seed: tuple[int, str],
) -> dict[str, pd.DataFrame]:
    """`answers` of a variant, one row each, and `kl`, one row per answer of the base.

    `models` are the base and the variant, `reference` the base's answers. The variant
    answers in `settings.dtype`, in which both give their log-probabilities; KL is in
    float32, where it is not lost in rounding.
    """
    base, model = models
    with autocast(settings.dtype):
        drawn = draw(model, tokenizer, problems, settings.samples, settings, seed)
        logp, base_logp = (log_probabilities(m, drawn) for m in (model, base))
    kl = forward_kl(base, model, reference)
    return {
        "answers": judged(drawn, problems, tokenizer).assign(
            logp=logp, base_logp=base_logp
        ),
        "kl": judged(reference, problems, tokenizer).assign(kl=kl),
    }


def judged(
    answers: Sequence[Answer],
    problems: Sequence[dict],
    tokenizer: PreTrainedTokenizerBase,
) -> pd.DataFrame:
    """One row an answer, in the order of draw(), with the verifier's verdict."""
    samples = len(answers) // len(problems)
    texts = tokenizer.batch_decode([a for _, a in answers], skip_special_tokens=True)
    keys = [(row, number) for row in problems for number in range(samples)]
    right = correct(texts, [row for row, _ in keys])
    rows = [
        (row["id"], number, text, is_right, len(tokens))
        for (row, number), text, is_right, (_, tokens) in zip(
            keys, texts, right, answers, strict=True
        )
    ]
    columns = ["problem", "sample", "response", "correct", "tokens"]
    return pd.DataFrame(rows, columns=columns)


def log_probabilities(model: PreTrainedModel, answers: Sequence[Answer]) -> list[float]:
    """Log-probability of every answer at temperature 1, in nats."""

    def values(inputs: dict[str, torch.Tensor]) -> torch.Tensor:
        logits, targets = prefix_sharing.predicted(model, inputs)
        return logits.log_softmax(-1).gather(1, targets[:, None])[:, 0]

    return totals(values, answers, prefix_sharing.can_share(model))


def forward_kl(
    base: PreTrainedModel, model: PreTrainedModel, answers: Sequence[Answer]
) -> list[float]:
    """Forward KL(base || model) of every answer, summed over its tokens, in nats.

    Both models read the same tokens, which must be drawn from the base's own
    distribution: then the mean over answers is E[log base - log model], exact over the
    vocabulary of every token and with less noise than the sampled tokens alone.
    """

    def values(inputs: dict[str, torch.Tensor]) -> torch.Tensor:
        return token_kl(
            *(prefix_sharing.predicted(m, inputs)[0] for m in (base, model))
        )

    return totals(values, answers, prefix_sharing.can_share(model))


@torch.no_grad()
def totals(values: Values, answers: Sequence[Answer], share: bool) -> list[float]:
    """Sum over the tokens of every answer of what `values` gives for each.

    Equal answers go through the model once; with `share` so does each prompt of a pass.
    """
    often = Counter(prompt for prompt, _ in set(answers))
    # Prompts with about as many answers stand together: less padding.
    distinct = sorted(set(answers), key=lambda answer: (often[answer[0]], answer))
    sums: dict[Answer, float] = {}
    for batch in passes(distinct):
        found = values(prefix_sharing.pack(*grouped(batch, share), device()))
        parts = found.split([len(tokens) for _, tokens in batch])
        sums |= zip(batch, (part.sum().item() for part in parts), strict=True)
    return [sums[answer] for answer in answers]


def passes(answers: Sequence[Answer], size: int = PASS_TOKENS) -> Iterator[list]:
    """Answers in order, in lists of at most about `size` tokens of answers."""
    batch: list[Answer] = []
    total = 0
    for answer in answers:
        if batch and total + len(answer[1]) > size:
            yield batch
            batch, total = [], 0
        batch.append(answer)
        total += len(answer[1])
    yield batch


def grouped(batch: Sequence[Answer], share: bool) -> tuple[list, list]:
    """Prompts and the answers to each, in order; a prompt an answer unless shared."""
    prompts = [list(prompt) for prompt, _ in batch]
    tokens = [list(answer) for _, answer in batch]
    if not share:
        return prompts, [[answer] for answer in tokens]
    groups = prefix_sharing.group_rows(prompts)
    return list(map(list, groups)), [[tokens[i] for i in of] for of in groups.values()]


def token_kl(base_logits: torch.Tensor, model_logits: torch.Tensor) -> torch.Tensor:
    """Forward KL(base || model) of the next token at every position, in nats.

    Logits [..., T, V] of the same shape; the result is float32 [..., T], exact over the
    vocabulary, never negative. Give logits in float32: rounding logits with a standard
    deviation of 4 to bfloat16 alone makes a KL of 3e-4 per token.

    With d = log q - log p it sums p (exp(d) - 1 - d), which equals the usual -p d
    because p and q sum to one. Its terms are of second order in d and not negative, so
    that rounding of the normalisers, of first order in the usual sum, does not matter.
    """
    if base_logits.shape != model_logits.shape:
        raise ValueError(
            f"logits: shapes {tuple(base_logits.shape)} and "
            f"{tuple(model_logits.shape)}, expected the same"
        )
    log_p = torch.log_softmax(base_logits.float(), dim=-1)
    log_q = torch.log_softmax(model_logits.float(), dim=-1)
    p, d = log_p.exp(), log_q - log_p
    # Where q is much larger than p, exp(d) can overflow while q and p do not.
    large = log_q.exp() - p - p * d
    terms = torch.where(d > 1, large, p * (torch.expm1(d) - d))
    # What the base never does costs nothing but the model's mass there.
    return torch.where(p > 0, terms, log_q.exp()).sum(dim=-1)
