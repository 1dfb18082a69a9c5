"""Completions of prompts with random numbers of their own."""

from collections.abc import Iterator, Sequence

import torch
from transformers import (
    GenerationConfig,
    LogitsProcessor,
    LogitsProcessorList,
    MinPLogitsWarper,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

from rankone.errors import UserError
from rankone.inference.settings import Decoding


def stop_at(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, texts: Sequence[str]
) -> None:
    """Let each of these texts end a completion, in training as in evaluation."""
    ends = [tokenizer.encode(text, add_special_tokens=False) for text in texts]
    for text, tokens in zip(texts, ends, strict=True):
        if len(tokens) != 1:
            raise UserError(
                f"{text!r} must end a completion, but the tokenizer needs "
                f"{len(tokens)} tokens for it, not one; see `problems.stop`."
            )
    tokens = [token for (token,) in ends]
    model.generation_config.eos_token_id = [*tokens, tokenizer.eos_token_id]


class Draw(LogitsProcessor):
    """Draws the next token by inverting the distribution function.

    It needs one random number a row. torch.multinomial draws one for each token of the
    vocabulary, on a CPU one after another: nearly half of a small model's generation.
    The global random state is not used. The drawn token alone keeps a finite score: the
    best one in rows where `greedy` [B] is true.
    """

    def __init__(self, generator: torch.Generator, greedy: torch.Tensor):
        self.generator, self.greedy = generator, greedy

    def __call__(self, input_ids, scores):
        cumulative = scores.float().softmax(-1).cumsum(-1)
        numbers = torch.rand(
            len(scores), 1, generator=self.generator, device=scores.device
        )
        # The last entry is 1 up to rounding.
        tokens = torch.searchsorted(cumulative, numbers * cumulative[:, -1:])
        tokens = tokens.clamp(max=scores.shape[1] - 1)
        best = scores.argmax(-1, keepdim=True)
        nothing = torch.full_like(scores, -torch.inf)
        tokens = torch.where(self.greedy[:, None], best, tokens)
        return nothing.scatter_(1, tokens, 0.0)


def processors(
    how: Decoding, generator: torch.Generator, greedy: torch.Tensor
) -> LogitsProcessorList:
    """What makes scores into a token.

    Rows where `greedy` [B] is true get the best token.
    """
    found = [TemperatureLogitsWarper(float(how.temperature))]
    if how.top_k:
        found.append(TopKLogitsWarper(how.top_k))
    if (top_p := how.top_p or 1.0) < 1:
        found.append(TopPLogitsWarper(top_p))
    if how.min_p:
        found.append(MinPLogitsWarper(how.min_p))
    return LogitsProcessorList([*found, Draw(generator, greedy)])


def batches(rows: Sequence, size: int) -> Iterator[Sequence]:
    """Rows in order, `size` at a time."""
    for start in range(0, len(rows), size):
        yield rows[start : start + size]


@torch.no_grad()
def generate(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    prompts: list[str],
    greedy: list[bool],
    how: Decoding,
    *,
    size: int,
    seed: int,
) -> list[list[int]]:
    """Tokens of one completion of every prompt, `size` prompts together.

    `greedy` says of each whether the best tokens or random ones are taken. Completions
    end with one of the model's own end tokens, which is among their tokens, or after
    `how.tokens`. The same prompts, sizes and seed give the same completions.
    """
    generator = torch.Generator(model.device).manual_seed(seed)
    config = GenerationConfig(
        max_new_tokens=how.tokens,
        do_sample=False,
        repetition_penalty=how.repetition_penalty,
        pad_token_id=tokenizer.pad_token_id,
        eos_token_id=model.generation_config.eos_token_id,
        disable_compile=True,
    )
    found = []
    for batch in batches(list(zip(prompts, greedy, strict=True)), size):
        texts, best = zip(*batch, strict=True)
        inputs = tokenizer(
            list(texts), return_tensors="pt", padding=True, padding_side="left"
        ).to(model.device)
        inputs.pop("token_type_ids", None)
        output = model.generate(
            **inputs,
            generation_config=config,
            logits_processor=processors(
                how, generator, torch.tensor(best, device=model.device)
            ),
        )
        found += up_to_end(
            output[:, inputs["input_ids"].shape[1] :], config.eos_token_id
        )
    return found


def up_to_end(completions: torch.Tensor, ends: int | list[int]) -> list[list[int]]:
    """The tokens of every row up to its first end token, that one included."""
    ended = torch.isin(completions, torch.tensor(ends, device=completions.device))
    inside = ended.cumsum(1) - ended.long() == 0
    return [row[keep].tolist() for row, keep in zip(completions, inside, strict=True)]


def complete(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, *what, **options
) -> list[str]:
    """generate() as text, without special tokens."""
    found = generate(model, tokenizer, *what, **options)
    return tokenizer.batch_decode(found, skip_special_tokens=True)
