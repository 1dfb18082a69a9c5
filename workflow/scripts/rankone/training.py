"""RLVR training with TRL's GRPO: arguments, metrics, exports, resumption.

The trainer's own checkpoints and the exports live in a state folder that Snakemake does
not manage. The declared outputs of a run appear when all steps are done.
"""

import contextlib
import json
import logging
import os
import shutil
import signal
import time
from importlib.util import find_spec
from pathlib import Path

import pandas as pd
import torch
from datasets import Dataset
from peft import LoraConfig
from transformers import (
    AutoTokenizer,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    PrinterCallback,
    TrainerCallback,
)
from trl import GRPOConfig, GRPOTrainer
from trl.trainer.utils import RepeatSampler

from rankone import probing, sharing
from rankone.checkpoints import export, index, weight_files
from rankone.compute import has_bfloat16
from rankone.errors import UserError
from rankone.files import digest, read_jsonl, replacing
from rankone.generation import stop_at
from rankone.jobs import time_left
from rankone.models import load_model
from rankone.updates import MODULES, read_update
from rankone.verifiers import correct

logger = logging.getLogger(__name__)

COLUMNS = {
    "reward": "reward",
    "reward_std": "reward_std",
    "frac_reward_zero_std": "zero_spread_share",
    "entropy": "entropy",
    "completions/mean_length": "completion_length",
    "completions/clipped_ratio": "truncated_share",
    "grad_norm": "gradient_norm",
    "learning_rate": "learning_rate",
    "loss": "loss",
    "num_tokens": "tokens",
}


def arguments(grpo: dict, schedule: dict, seed: int, state: Path) -> GRPOConfig:
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
            max_steps=schedule["max_steps"],
            save_steps=schedule["save_steps"],
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


def lora_config(lora: dict) -> LoraConfig:
    """PEFT's arguments; UserError when PEFT refuses the combination."""
    try:
        return LoraConfig(**{"target_modules": list(MODULES)} | lora)
    except (ValueError, TypeError) as error:
        raise UserError(f"lora: peft.LoraConfig refuses this: {error}") from error


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
        self.shares = sharing.can_share(model) and not probing.sharded(self)
        if self.shares:
            model.generate = sharing.prefill_once(model)

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
        with probing.whole_autocast(self):
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

        return *sharing.scored(call, *batch), None


def precision(args: GRPOConfig) -> str:
    """What the forward and backward passes compute in."""
    if args.bf16 or args.fp16:
        return "bfloat16 autocast" if args.bf16 else "float16 autocast"
    return "float32"


class Recorder(TrainerCallback):
    """Appends one row of metrics a step to a file, and logs progress with an ETA."""

    def __init__(self, path: Path, run: str, observer: probing.Observer):
        self.path, self.run, self.observer = path, run, observer
        self.begun = self.step_begun = time.monotonic()
        self.first, self.seconds = 0, 0.0

    def on_train_begin(self, args, state, control, **kwargs):
        """Forget rows of steps that will be done again."""
        self.begun, self.first = time.monotonic(), state.global_step
        if not state.is_world_process_zero:
            return
        rows = [
            row for row in read_metrics(self.path) if row["step"] <= state.global_step
        ]
        self.path.write_text("".join(json.dumps(row) + "\n" for row in rows))

    def on_step_begin(self, args, state, control, **kwargs):
        self.step_begun = time.monotonic()

    def on_step_end(self, args, state, control, **kwargs):
        self.seconds = time.monotonic() - self.step_begun

    def on_log(self, args, state, control, logs=None, **kwargs):
        if "reward" not in logs or not state.is_world_process_zero:
            return
        row = {"run": self.run, "step": state.global_step}
        row |= {column: float(logs[key]) for key, column in COLUMNS.items()}
        row["seconds"] = self.seconds
        row |= {f"{k}_seconds": v for k, v in self.observer.seconds.items()}
        row["precision"] = precision(args)
        with open(self.path, "a") as file:
            file.write(json.dumps(row) + "\n")
        done, left = state.global_step - self.first, state.max_steps - state.global_step
        logger.info(
            "%s: step %d of %d, reward %.2f, %.1f s a step, %s left",
            *(self.run, state.global_step, state.max_steps, row["reward"]),
            *(row["seconds"], time_left(self.begun, done, done + left)),
        )


class Exporter(TrainerCallback):
    """Writes the weights at the steps that the study names."""

    def __init__(self, folder: Path, steps: list[int], metadata: dict):
        self.folder, self.steps, self.metadata = folder, steps, metadata

    def on_step_end(self, args, state, control, model=None, **kwargs):
        step = state.global_step
        if step in self.steps:
            path, metadata = export_path(self.folder, step), {"step": step}
            main = state.is_world_process_zero
            export(model, path if main else None, self.metadata | metadata)
            logger.info("Exported the weights of step %d", step)


class Stop(TrainerCallback):
    """On SIGTERM: end after the step at hand, with the trainer's state saved.

    (transformers' own way saves before other callbacks have seen the step's end, or in
    the middle of a step: what goes on from there is another trajectory.) Of several
    processes all stop after the same step, if one is asked to: by the signal, or by
    stop_file().
    """

    def __init__(self):
        self.requested = False

    def on_train_begin(self, args, state, control, **kwargs):
        self.previous = signal.signal(signal.SIGTERM, self.request)

    def request(self, *_: object) -> None:
        """The signal's handler."""
        self.requested = True

    def on_step_end(self, args, state, control, **kwargs):
        if self.agreed(args):
            control.should_save = control.should_training_stop = True

    def agreed(self, args: GRPOConfig) -> bool:
        """Whether any process was asked to stop; the same answer for all of them."""
        asked = self.requested or stop_file(Path(args.output_dir)).exists()
        if args.world_size == 1:
            return asked
        found = torch.tensor(int(asked), device=args.device)
        torch.distributed.all_reduce(found, torch.distributed.ReduceOp.MAX)
        return bool(found)

    def on_train_end(self, args, state, control, **kwargs):
        signal.signal(signal.SIGTERM, self.previous)


def stop_file(state: Path) -> Path:
    """What the processes of a run are asked to stop by, on whatever node they are."""
    return state / "stop"


def export_path(folder: Path, step: int) -> Path:
    """Where the weights of a step are exported."""
    return folder / f"step-{step}.safetensors"


def read_metrics(path: Path) -> list[dict]:
    """Rows of a run's metrics; a line cut off by a kill is dropped."""
    rows = []
    for line in path.read_text().splitlines() if path.exists() else []:
        with contextlib.suppress(json.JSONDecodeError):
            rows.append(json.loads(line))
    return rows


def last_checkpoint(state: Path) -> Path | None:
    """The newest trainer checkpoint that was written to its end, or None."""
    found = filter(is_whole, state.glob("checkpoint-*"))
    return max(found, key=lambda folder: int(folder.name.split("-")[1]), default=None)


def is_whole(checkpoint: Path) -> bool:
    """Whether the file that a save writes last is there to its end."""
    try:
        json.loads((checkpoint / "trainer_state.json").read_text())
    except (OSError, json.JSONDecodeError):
        return False
    return True


def claim_state(state: Path, identity: dict) -> None:
    """Make `state` the folder of this configuration.

    A folder left by another configuration is moved aside, never continued and never
    deleted.
    """
    fingerprint = state / "fingerprint.json"
    if fingerprint.exists():
        found = json.loads(fingerprint.read_text())
        if found["fingerprint"] == digest(identity):
            return
    if state.exists() and any(state.iterdir()):
        aside = state.with_name(f"{state.name}.replaced-{time.time_ns() // 10**9}")
        os.replace(state, aside)
        logger.warning(
            "%s belongs to another configuration; moved to %s (delete it when you no "
            "longer need it). Training starts at step 0.",
            *(state, aside),
        )
    with replacing(fingerprint) as temporary:
        record = {"fingerprint": digest(identity), "identity": identity}
        temporary.write_text(json.dumps(record, indent=1, default=str))


def fit(
    run: str,
    model_folder: str,
    problems: dict[str, str],
    settings: dict,
    state: str,
    metadata: dict,
) -> None:
    """Train, or go on training, in this process: alone, or as one of several.

    `problems` are paths by name; `settings` has `grpo`, `schedule`, `seed`,
    `trust_remote_code` and what train() needs.
    """
    args = arguments(
        settings["grpo"], settings["schedule"], settings["seed"], Path(state)
    )
    train(
        load_model(model_folder, trust=settings["trust_remote_code"]),
        AutoTokenizer.from_pretrained(model_folder, padding_side="left"),
        {split: read_jsonl(path) for split, path in problems.items()},
        *(args, run, settings, weight_files(model_folder), metadata),
    )


def train(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    problems: dict[str, list[dict]],
    args: GRPOConfig,
    run: str,
    settings: dict,
    base: list[Path],
    metadata: dict,
) -> None:
    """Train up to `args.max_steps`, from the last whole trainer checkpoint if any.

    `problems` has those of `train` and of every probe, `base` the model's weight files.
    `settings` has `schedule`, `lora`, `intervention`, `probes` and `seed`.
    """
    state, lora = Path(args.output_dir), settings["lora"]
    stop_at(model, tokenizer, problems["train"][0]["stop"])
    if args.use_vllm:  # it knows the end tokens of the model's folder alone
        ends = {"stop_token_ids": model.generation_config.eos_token_id}
        args.generation_kwargs = ends | (args.generation_kwargs or {})
    columns = ("prompt", "answer", "verifier")
    rows = [{column: row[column] for column in columns} for row in problems["train"]]
    trainer = Trainer(
        model=model,
        args=args,
        reward_funcs=reward,
        train_dataset=Dataset.from_list(rows),
        processing_class=tokenizer,
        peft_config=lora_config(lora) if lora else None,
    )
    trainer.remove_callback(PrinterCallback)
    size = settings["probes"]["problems"]
    probes = {split: problems[split][:size] for split in settings["probes"]["splits"]}
    observer = probing.Observer(trainer, state / "measured", base, settings, probes)
    for callback in (
        Recorder(state / "metrics.jsonl", run, observer),
        observer,
        Exporter(state / "exports", settings["schedule"]["export_steps"], metadata),
        Stop(),
    ):
        trainer.add_callback(callback)
    if checkpoint := last_checkpoint(state):
        logger.info("%s: going on from %s", run, checkpoint.name)
    trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    trainer.accelerator.wait_for_everyone()  # the first to fail ends the others
    if trainer.state.global_step < args.max_steps:
        raise UserError(
            f"{run}: stopped by a signal at step {trainer.state.global_step} of "
            f"{args.max_steps}; the state is saved. Run the same command to go on."
        )


def finished(state: Path, steps: list[int], moments: list[probing.Moment]) -> bool:
    """Whether every export and every measurement of a run is there."""
    exports = (export_path(state / "exports", step).exists() for step in steps)
    return all(exports) and probing.complete_moments(state / "measured", moments)


def check_result(run: str, metrics: pd.DataFrame, base: list[Path], last: Path) -> None:
    """Raise UserError for a run in which nothing was, or could be, learned."""
    if (metrics["zero_spread_share"] == 1).all():
        raise UserError(
            f"{run}: in none of {len(metrics)} steps did the rewards within a group "
            "differ, so there was nothing to learn from. Choose problems that the base "
            "model solves sometimes (the mean reward was "
            f"{metrics['reward'].mean():.2f}), or a higher temperature."
        )
    before = index(base)
    after = index([last])
    if not any(read_update(before, after, name).any() for name in before):
        raise UserError(f"{run}: training left every weight as it was.")


def publish(
    state: Path,
    run: str,
    moments: list[probing.Moment],
    tables: dict[str, str],
    checkpoints: dict[int, str],
) -> None:
    """Make the declared outputs from the state: hard links, or copies if need be.

    `tables` are the paths of `metrics`, `probes` and `updates`.
    """
    measured = state / "measured"
    rows = pd.DataFrame(read_metrics(state / "metrics.jsonl"))
    rows.to_csv(tables["metrics"], sep="\t", index=False)
    probes = probing.gather_probes(measured, run, moments)
    probes.to_parquet(tables["probes"], index=False)
    updates = probing.gather_updates(measured, run, moments)
    updates.to_parquet(tables["updates"], index=False)
    for step, target in checkpoints.items():
        source = export_path(state / "exports", step)
        with replacing(target) as temporary:
            try:
                os.link(source, temporary)
            except OSError:
                shutil.copyfile(source, temporary)
    for folder in state.glob("checkpoint-*"):
        shutil.rmtree(folder)
