"""What a training method is; each is declared in a file of methods/, or in a plugin.

Declarations are read when a study is planned: what is heavy is imported by the
functions that train. A method has a trainer of its own; Rankone's measurements,
interventions and exports are the same around all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from rankone.inference.settings import Decoding
from rankone.registry import Registry

if TYPE_CHECKING:
    from peft import LoraConfig
    from transformers import (
        PreTrainedModel,
        PreTrainedTokenizerBase,
        Trainer,
        TrainingArguments,
    )

    from rankone.study.config import Config

DEFAULT = "grpo"


@dataclass(frozen=True)
class Generation(Decoding):
    """How a method's model answers in training.

    `gather` is whether DeepSpeed's parts of the weights are put together for it.
    """

    gather: bool = True


class Computer(Protocol):
    """Seconds of a model's passes on the hardware that a study assumes."""

    def forward(self, tokens: float) -> float: ...

    def answer(
        self, rows: int, prompt: int, tokens: int, batch: int, backend: str = "hf"
    ) -> float: ...


@dataclass(frozen=True)
class TrainingMethod:
    """One way to train; `settings` below are those of its section of the config.

    `sources` are the files of installed packages whose classes have the fields that
    settings may name (none: not checked), `owner` the class that takes them, and
    `own_arguments` those of its fields that Rankone sets. `columns` gives the columns
    of metrics.tsv by the names under which its trainer logs them.

    arguments(settings, schedule, seed, state): the trainer's arguments; UserError when
    they are refused.
    trainer(model, args, problems, tokenizer, lora): the trainer, for problems to train
    on, and for PEFT's arguments if adapters are trained.
    generation(args): how the model answers when it is measured.
    check(settings, processes): UserError for settings that cannot be carried out.
    completion_length(settings): tokens of the longest answer.
    step_seconds(settings, prompt, computer): one optimizer step, for `prompt` tokens.
    activations_mb(settings, prompt, weights): those of one pass; see pass_mb().
    """

    name: str
    description: str
    owner: str
    arguments: Callable[[dict, dict, int, Path], TrainingArguments]
    trainer: Callable[
        [
            PreTrainedModel,
            TrainingArguments,
            list[dict],
            PreTrainedTokenizerBase,
            LoraConfig | None,
        ],
        Trainer,
    ]
    generation: Callable[[TrainingArguments], Generation]
    check: Callable[[dict, int], None]
    completion_length: Callable[[dict], int]
    step_seconds: Callable[[dict, int, Computer], float]
    activations_mb: Callable[[dict, int, int], float]
    columns: Mapping[str, str]
    sources: Mapping[str, tuple[str, ...]]
    own_arguments: frozenset[str]
    section: str = "grpo"
    order: int = 1000


METHODS: Registry[TrainingMethod] = Registry(
    "The training method", "rankone.training.methods"
)


def section(config: Config, method: TrainingMethod) -> dict:
    """What the config says of a method; nothing where it lacks the section."""
    return (vars(config) | config.model_extra).get(method.section, {})


def method_settings(config: Config, arm: str) -> dict:
    """What the config says of an arm's method, as settings of its runs.

    The default method is not named, so that it decides a run as it always has.
    """
    method = METHODS[config.arms[arm].method]
    named = {} if method.name == DEFAULT else {"method": method.name}
    return {method.section: section(config, method)} | named


def study_methods(config: Config) -> list[tuple[TrainingMethod, dict]]:
    """The methods of a study's arms, each once, with their settings."""
    names = dict.fromkeys(arm.method for arm in config.arms.values())
    return [(m, section(config, m)) for m in map(METHODS.__getitem__, names)]


def pass_mb(tokens: int, weights: int, checkpointing: bool) -> float:
    """Activations of one training pass over so many tokens, in MB, in 16 bits.

    Width times layers is about 0.066 weights^(2/3); a layer keeps about 34 bytes of
    each (Korthikanti et al., arXiv 2205.05198), 4 with gradient checkpointing.
    """
    places = tokens * 0.066 * weights ** (2 / 3)
    return places * (4 if checkpointing else 34) / 1e6
