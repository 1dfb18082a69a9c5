"""One run of RLVR training, alone or as one of several processes, resumed or new."""

import logging
from pathlib import Path

from peft import LoraConfig
from transformers import (
    AutoTokenizer,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    PrinterCallback,
)

from rankone.errors import UserError
from rankone.files import read_jsonl
from rankone.inference.generation import stop_at
from rankone.names import MODULES
from rankone.training import measurement
from rankone.training.callbacks import Exporter, Recorder, Stop
from rankone.training.method import METHODS
from rankone.training.run_state import last_checkpoint
from rankone.training.settings import Lora, TrainingSettings
from rankone.weights.base_model import load_model
from rankone.weights.model_files import weight_files

logger = logging.getLogger(__name__)


def lora_config(lora: Lora) -> LoraConfig:
    """PEFT's arguments; UserError when PEFT refuses the combination."""
    try:
        return LoraConfig(**{"target_modules": list(MODULES)} | lora)
    except (ValueError, TypeError) as error:
        raise UserError(f"lora: peft.LoraConfig refuses this: {error}") from error


def fit(
    run: str,
    model_folder: str,
    problems: dict[str, str],
    settings: TrainingSettings,
    state: str,
    metadata: dict,
) -> None:
    """Train, or go on training, in this process: alone, or as one of several.

    `problems` are paths by name.
    """
    train(
        load_model(model_folder, trust=settings.trust_remote_code),
        AutoTokenizer.from_pretrained(model_folder, padding_side="left"),
        {split: read_jsonl(path) for split, path in problems.items()},
        *(run, settings, Path(state), weight_files(model_folder), metadata),
    )


def train(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    problems: dict[str, list[dict]],
    run: str,
    settings: TrainingSettings,
    state: Path,
    base: list[Path],
    metadata: dict,
) -> None:
    """Train all steps of the schedule, from the last whole trainer checkpoint if any.

    `problems` has those of `train` and of every probe, `base` the model's weight files.
    """
    method, lora = METHODS[settings.method], settings.lora
    args = method.arguments(
        settings.of_method(), settings.schedule, settings.seed, state
    )
    stop_at(model, tokenizer, problems["train"][0]["stop"])
    trainer = method.trainer(
        *(model, args, problems["train"], tokenizer),
        lora_config(lora) if lora else None,
    )
    trainer.remove_callback(PrinterCallback)
    asked = settings.probes
    probes = {split: problems[split][: asked.problems] for split in asked.splits}
    observer = measurement.MeasurementCallback(
        *(trainer, method.generation(args), state / "measured"),
        *(base, settings, probes),
    )
    for callback in (
        Recorder(state / "metrics.jsonl", run, observer, method.columns),
        observer,
        Exporter(state / "exports", settings.schedule.export_steps, metadata),
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
