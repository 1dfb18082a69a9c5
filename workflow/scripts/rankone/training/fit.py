"""One run of RLVR training, alone or as one of several processes, resumed or new."""

import logging
from pathlib import Path

from datasets import Dataset
from peft import LoraConfig
from transformers import (
    AutoTokenizer,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    PrinterCallback,
)
from trl import GRPOConfig

from rankone.errors import UserError
from rankone.files import read_jsonl
from rankone.inference.generation import stop_at
from rankone.names import MODULES
from rankone.training import measurement
from rankone.training.callbacks import Exporter, Recorder, Stop
from rankone.training.methods.grpo import Trainer, arguments, reward
from rankone.training.run_state import last_checkpoint
from rankone.weights.base_model import load_model
from rankone.weights.checkpoints import weight_files

logger = logging.getLogger(__name__)


def lora_config(lora: dict) -> LoraConfig:
    """PEFT's arguments; UserError when PEFT refuses the combination."""
    try:
        return LoraConfig(**{"target_modules": list(MODULES)} | lora)
    except (ValueError, TypeError) as error:
        raise UserError(f"lora: peft.LoraConfig refuses this: {error}") from error


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
    observer = measurement.MeasurementCallback(
        trainer, state / "measured", base, settings, probes
    )
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
