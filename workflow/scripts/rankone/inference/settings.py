"""The section of sampled answers, what a job that draws them gets, and decoding."""

from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from rankone.data.settings import Split
from rankone.settings import Contains, Count, Distinct, Others, Precision, Section


@dataclass(frozen=True)
class Decoding:
    """How a model answers: `tokens` at the most, drawn in this way."""

    tokens: int
    temperature: float = 1.0
    top_p: float | None = None
    top_k: int | None = None
    min_p: float | None = None
    repetition_penalty: float = 1.0


class Sampling(Section):
    """Which problems are answered, how often and how."""

    split: Split = Field("held_out", description="the problem set that is sampled")
    problems: Count = Field(128, description="the first so many problems of it")
    samples: int = Field(
        64, ge=2, description="answers to each; k goes 1, 2, 4, ... up to it"
    )
    temperature: float = Field(1.0, gt=0, description="temperature of the samples")
    top_p: float = Field(
        1.0,
        gt=0,
        le=1,
        description="share of the probability that they are drawn from",
    )
    tokens: Count | None = Field(
        None,
        description="the most tokens of an answer; null for "
        "`grpo.max_completion_length`",
    )
    kl_samples: Count = Field(
        4,
        description="answers of the base to each problem that the KL is taken on, "
        "always at temperature 1 and without top-p",
    )
    batch_size: Count = Field(256, description="answers that are drawn together")


class Sample(Sampling):
    """Many answers to few problems."""

    variants: Annotated[Distinct[str], Contains("full")] = Field(
        ["full", "rank1", "without_rank1", "shrunk"],
        description="recipes sampled at the last exported step of runs without an "
        "intervention, in the others `full` alone; must contain `full`",
    )


class SampleSettings(Sampling):
    """Everything but the variants that decides the sampled answers of a model."""

    tokens: Count
    dtype: Precision
    others: Others
    seed: int
    trust_remote_code: bool
