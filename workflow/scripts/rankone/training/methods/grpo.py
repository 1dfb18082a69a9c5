"""GRPO by TRL, for which the problems' verifier is the reward."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from rankone.errors import UserError
from rankone.training.method import (
    METHODS,
    Computer,
    Generation,
    TrainingMethod,
    pass_mb,
)

if TYPE_CHECKING:
    from trl import GRPOConfig

    from rankone.training.grpo_trainer import Trainer
    from rankone.training.settings import Schedule

# What TRL takes where the config is silent.
BATCH, COMPLETION_LENGTH, GROUP = 8, 512, 8
# Set by Rankone itself; everything else of GRPOConfig is the study's to choose.
OWN_ARGUMENTS = {
    *("output_dir", "max_steps", "save_steps", "save_strategy", "save_total_limit"),
    *("save_only_model", "seed", "data_seed", "logging_steps", "logging_strategy"),
    *("report_to", "disable_tqdm", "resume_from_checkpoint", "enable_jit_checkpoint"),
    *("fsdp", "fsdp_config", "deepspeed"),
}
SOURCES = {
    "trl": ("trainer/grpo_config.py", "trainer/base_config.py"),
    "transformers": ("training_args.py",),
}
COLUMNS = {
    "reward": "reward",
    "reward_std": "reward_std",
    "frac_reward_zero_std": "zero_spread_share",
    "entropy": "entropy",
    "completions/mean_length": "completion_length",
    "completions/clipped_ratio": "truncated_share",
    "num_tokens": "tokens",
}


def arguments(settings: dict, schedule: Schedule, seed: int, state: Path) -> GRPOConfig:
    """TRL's arguments for one run; UserError when TRL refuses the combination."""
    from rankone.training import grpo_trainer

    return grpo_trainer.arguments(settings, schedule, seed, state)


def trainer(model, args: GRPOConfig, problems: list, tokenizer, lora) -> Trainer:
    """TRL's trainer with the verifier as its reward."""
    from rankone.training import grpo_trainer

    return grpo_trainer.trainer(model, args, problems, tokenizer, lora)


def generation(args: GRPOConfig) -> Generation:
    """Answers are drawn as in training."""
    return Generation(
        tokens=args.max_completion_length,
        temperature=args.temperature,
        top_p=args.top_p,
        top_k=args.top_k,
        min_p=args.min_p,
        repetition_penalty=args.repetition_penalty,
        gather=args.ds3_gather_for_generation,
    )


def check(settings: dict, processes: int) -> None:
    """Raise UserError when a batch cannot be split into groups of completions."""
    group = settings.get("num_generations", GROUP)
    accumulation = settings.get("gradient_accumulation_steps", 1)
    batch = settings.get("generation_batch_size") or (
        micro_batch(settings)
        * processes
        * (settings.get("steps_per_generation") or accumulation)
    )
    if batch % group:
        raise UserError(
            f"grpo: {batch} completions a step cannot be split into groups of "
            f"num_generations = {group}; choose a per_device_train_batch_size that is "
            "a multiple of it."
        )


def completion_length(settings: dict) -> int:
    """Tokens of the longest answer."""
    return settings.get("max_completion_length") or COMPLETION_LENGTH


def micro_batch(settings: dict) -> int:
    """Completions of one pass on one device."""
    return settings.get("per_device_train_batch_size", BATCH)


def checkpointing(settings: dict) -> bool:
    """Whether activations are computed again in the backward pass."""
    return settings.get("gradient_checkpointing", True)


def step_seconds(settings: dict, prompt: int, computer: Computer) -> float:
    """One optimizer step: answers, then passes forward and backward."""
    rows = micro_batch(settings) * settings.get("gradient_accumulation_steps", 1)
    length = completion_length(settings)
    backend = "vllm" if settings.get("use_vllm") else "hf"
    # Backward costs two forward passes; one more to make activations again, and one
    # of the base for the KL.
    passes = 3 + checkpointing(settings) + bool(settings.get("beta"))
    return computer.answer(rows, prompt, length, rows, backend) + passes * (
        computer.forward(rows * (prompt + length))
    )


def activations_mb(settings: dict, prompt: int, weights: int) -> float:
    """Activations of one pass over a batch of prompts and their longest answers."""
    tokens = micro_batch(settings) * (prompt + completion_length(settings))
    return pass_mb(tokens, weights, checkpointing(settings))


METHODS.add(
    TrainingMethod(
        name="grpo",
        description="GRPO and its kin, chosen by `grpo.loss_type`.",
        owner="trl.GRPOConfig",
        arguments=arguments,
        trainer=trainer,
        generation=generation,
        check=check,
        completion_length=completion_length,
        step_seconds=step_seconds,
        activations_mb=activations_mb,
        columns=COLUMNS,
        sources=SOURCES,
        own_arguments=frozenset(OWN_ARGUMENTS),
        order=0,
    )
)
