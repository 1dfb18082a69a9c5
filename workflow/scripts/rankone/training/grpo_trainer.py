"""GRPO by TRL: its arguments, the reward, and its trainer, changed in speed alone.

Heavy; methods/grpo.py declares the method.
"""

from importlib.util import find_spec
from pathlib import Path

import torch
from datasets import Dataset
from peft import LoraConfig
from transformers import PreTrainedModel, PreTrainedTokenizerBase
from trl import GRPOConfig, GRPOTrainer
from trl.trainer.utils import RepeatSampler

from rankone.data.verifier import correct
from rankone.errors import UserError
from rankone.inference import prefix_sharing
from rankone.runtime.device import has_bfloat16
from rankone.training import measurement
from rankone.training.settings import Grpo, Schedule


def arguments(grpo: Grpo, schedule: Schedule, seed: int, state: Path) -> GRPOConfig:
    """TRL's arguments for one run; UserError when TRL refuses the combination.

    Autocast is to bfloat16 where the hardware has it, unless `grpo` says otherwise.
    """
    if grpo.get("use_vllm") and not find_spec("vllm"):
        raise UserError(
            "grpo.use_vllm: vLLM is not installed in the environment of the rule train "
            "(envs/train.yaml): add what `pip install trl[vllm]` would."
        )
    cpu = not torch.accelerator.is_available()
    bf16 = has_bfloat16() and not grpo.get("fp16")
    try:
        return GRPOConfig(
            output_dir=str(state),
            max_steps=schedule.max_steps,
            save_steps=schedule.save_steps,
            save_strategy="steps",
            save_total_limit=2,
            seed=seed,
            data_seed=seed,
            logging_steps=1,
            report_to="none",
            disable_tqdm=True,
            **({"use_cpu": cpu, "bf16": bf16} | grpo),
        )
    except (ValueError, TypeError) as error:
        raise UserError(
            f"grpo: trl.GRPOConfig refuses these values: {error}"
        ) from error


def reward(
    completions: list[str], answer: list[str], verifier: list[str], **_: object
) -> list[float]:
    """The problems' verifier as a reward: 1 for a right answer, else 0."""
    problems = [
        {"answer": a, "verifier": v} for a, v in zip(answer, verifier, strict=True)
    ]
    return [float(right) for right in correct(completions, problems)]


class EpochSampler(RepeatSampler):
    """TRL's sampler, with the order of an epoch known to a run that goes on in it."""

    def set_epoch(self, epoch: int) -> None:
        """Draw next what an uninterrupted run draws in that epoch."""
        if self.shuffle:
            self.generator.manual_seed(self.seed)
            for _ in range(epoch):
                torch.randperm(self.num_samples, generator=self.generator)


class Trainer(GRPOTrainer):
    """GRPOTrainer, changed in speed and in the order of a resumed run's data alone.

    Under autocast the float32 weights are cast anew for every generated token; an outer
    autocast region around the whole generation lets torch keep the cast weights. On a
    CPU, where attention masks are free, a group's prompt is computed once (`sharing`).
    Where vLLM answers, or the weights are in parts, all is as in TRL.
    """

    def __init__(self, model: PreTrainedModel, **options):
        super().__init__(model=model, **options)
        self.shares = prefix_sharing.can_share(model) and not measurement.sharded(self)
        if self.shares:
            model.generate = prefix_sharing.prefill_once(model)

    def _get_train_sampler(self, dataset=None):
        plain = super()._get_train_sampler(dataset)
        return EpochSampler(
            plain.data_source,
            plain.mini_repeat_count,
            plain.batch_size,
            plain.repeat_count,
            plain.shuffle,
            plain.seed,
        )

    def _generate_single_turn(self, *args, **kwargs):
        if self.use_vllm:  # it takes the weights in here, which must not be cast
            return super()._generate_single_turn(*args, **kwargs)
        with measurement.whole_autocast(self):
            return super()._generate_single_turn(*args, **kwargs)

    def _save_rng_state(self, output_dir):
        """The file by which is_whole() goes is written next: wait for all others."""
        super()._save_rng_state(output_dir)
        self.accelerator.wait_for_everyone()

    def _get_per_token_logps_and_entropies(
        self, model, input_ids, attention_mask, logits_to_keep, *args, **options
    ):
        batch = (input_ids, attention_mask, logits_to_keep)
        if not self.shares:
            return super()._get_per_token_logps_and_entropies(
                model, *batch, *args, **options
            )

        def call(inputs: dict) -> tuple[torch.Tensor, torch.Tensor]:
            with self.accelerator.autocast():
                outputs = model(**inputs, fused_lm_head=True)
            return outputs.log_probs, outputs.entropy

        return *prefix_sharing.scored(call, *batch), None


def trainer(
    model: PreTrainedModel,
    args: GRPOConfig,
    problems: list[dict],
    tokenizer: PreTrainedTokenizerBase,
    lora: LoraConfig | None,
) -> Trainer:
    """The trainer on these problems, with the verifier as its reward."""
    if args.use_vllm:  # it knows the end tokens of the model's folder alone
        ends = {"stop_token_ids": model.generation_config.eos_token_id}
        args.generation_kwargs = ends | (args.generation_kwargs or {})
    columns = ("prompt", "answer", "verifier")
    rows = [{column: row[column] for column in columns} for row in problems]
    return Trainer(
        model=model,
        args=args,
        reward_funcs=reward,
        train_dataset=Dataset.from_list(rows),
        processing_class=tokenizer,
        peft_config=lora,
    )
