"""A shared context computed once: the same mathematics on fewer tokens.

The completions of a GRPO group share their prompt, the choices of a benchmark item
their question. Here such a context goes through the model once, and not once a
continuation: in generation, in the forward and backward pass, and in evaluation.
Positions count from the first real token, so models with relative positions (all that
rotate queries and keys) give the same log-probabilities up to rounding.
"""

from collections.abc import Callable

import torch
from transformers import PreTrainedModel


def can_share(model: PreTrainedModel) -> bool:
    """Whether packing pays and the model takes the attention masks that it needs.

    On accelerators long dense masks cost more than the repeated context.
    """
    return (
        model.device.type == "cpu"
        and getattr(model.config, "_attn_implementation", None) == "sdpa"
    )


def positions(mask: torch.Tensor) -> torch.Tensor:
    """Position of every token, counted from the first one that is not padding."""
    return (mask.cumsum(1) - 1).clamp(min=0)


def visible(segments: torch.Tensor) -> torch.Tensor:
    """Attention mask [G, 1, S, S]: a token sees the context and its own continuation.

    `segments` [G, S] is -1 for padding, 0 in the context, and counts the continuations
    from 1. Every token sees itself, or softmax would divide by zero.
    """
    length = segments.shape[1]
    keys, queries = segments[:, None, :], segments[:, :, None]
    causal = torch.ones(length, length, device=segments.device).tril().bool()
    itself = torch.eye(length, dtype=torch.bool, device=segments.device)
    return ((causal & ((keys == 0) | (keys == queries))) | itself)[:, None]


def lay_out(context: list[int], continuations: list[list[int]]) -> list[tuple]:
    """One sequence: (token, position, next token, segment) of every token.

    Each continuation begins with a copy of the context's last token, from which its
    first one is predicted; its own last token predicts nothing and is left out.
    """
    last = len(context) - 1
    row = [(token, i, -100, 0) for i, token in enumerate(context[:-1])]
    for segment, continuation in enumerate(continuations, start=1):
        inputs = [context[-1], *continuation[:-1]]
        steps = enumerate(zip(inputs, continuation, strict=True), start=last)
        row += [(token, i, target, segment) for i, (token, target) in steps]
    return row


def pack(
    contexts: list[list[int]],
    continuations: list[list[list[int]]],
    device: torch.device,
) -> dict[str, torch.Tensor]:
    """Model inputs [G, S] with one sequence a context, padded on the left.

    `shift_labels` has the token that each one of a continuation predicts, -100
    elsewhere. The attention mask is a plain one [G, S] where every context has a single
    continuation.
    """
    rows = [lay_out(*pair) for pair in zip(contexts, continuations, strict=True)]
    length = max(map(len, rows))
    rows = [[(0, 0, -100, -1)] * (length - len(row)) + row for row in rows]
    ids, places, labels, segments = torch.tensor(rows, device=device).unbind(-1)
    shared = any(len(tails) > 1 for tails in continuations)
    return {
        "input_ids": ids,
        "attention_mask": visible(segments) if shared else (segments >= 0).long(),
        "position_ids": places,
        "shift_labels": labels,
    }


def predicted(
    model: PreTrainedModel, inputs: dict[str, torch.Tensor]
) -> tuple[torch.Tensor, torch.Tensor]:
    """Float32 logits [N, V] of all N tokens of the continuations, and these tokens [N].

    `inputs` are those of pack(); the order is that of its continuations.
    """
    inputs = dict(inputs)
    labels = inputs.pop("shift_labels")
    columns = labels.shape[1] - int((labels != -100).any(0).int().argmax())
    logits = model(**inputs, logits_to_keep=columns).logits
    labels = labels[:, -columns:]
    return logits[labels != -100].float(), labels[labels != -100]


def group_rows(prompts: list[list[int]]) -> dict[tuple[int, ...], list[int]]:
    """Indices of equal prompts, by prompt."""
    groups: dict[tuple[int, ...], list[int]] = {}
    for row, prompt in enumerate(prompts):
        groups.setdefault(tuple(prompt), []).append(row)
    return groups


def unpadded(ids: torch.Tensor, mask: torch.Tensor) -> list[list[int]]:
    """The real tokens of every row."""
    return [row[keep.bool()].tolist() for row, keep in zip(ids, mask, strict=True)]


def scored(
    call: Callable, ids: torch.Tensor, mask: torch.Tensor, keep: int
) -> list[torch.Tensor]:
    """Per-token values [B, keep] of the last `keep` tokens of every row.

    `ids` and `mask` are [B, P + keep], padded on the left before and on the right
    after column P. `call` takes the packed inputs and returns tensors [G, S] of values
    for the next token. Padding gets 0.
    """
    known = mask[:, -keep:].bool()
    groups = group_rows(unpadded(ids[:, :-keep], mask[:, :-keep]))
    tails = unpadded(ids[:, -keep:], known)
    inputs = pack(
        [list(prompt) for prompt in groups],
        [[tails[row] for row in rows] for rows in groups.values()],
        ids.device,
    )
    order = torch.tensor(
        [r for rows in groups.values() for r in rows], device=ids.device
    )
    wanted = inputs["shift_labels"] != -100
    return [
        values.new_zeros(known.shape)
        .masked_scatter(known[order], values[wanted])
        .index_select(0, order.argsort())
        for values in call(inputs)
    ]


def prefill_once(model: PreTrainedModel) -> Callable:
    """`model.generate` that runs every different prompt through the model only once."""
    plain = model.generate

    def generate(input_ids, attention_mask, **options):
        if input_ids.shape[1] < 2:
            return plain(input_ids, attention_mask=attention_mask, **options)
        _, index = torch.unique(input_ids, dim=0, return_inverse=True)
        first = [index.tolist().index(group) for group in range(index.max() + 1)]
        mask = attention_mask[first, :-1]
        cache = model(
            input_ids=input_ids[first, :-1],
            attention_mask=mask,
            position_ids=positions(mask),
            use_cache=True,
            logits_to_keep=1,
        ).past_key_values
        cache.batch_select_indices(index)
        return plain(
            input_ids=input_ids,
            attention_mask=attention_mask,
            past_key_values=cache,
            **options,
        )

    return generate
