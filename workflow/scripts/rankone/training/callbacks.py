"""What training does beside its steps: metrics, exports, an end on request."""

import json
import logging
import math
import signal
import time
from collections.abc import Mapping
from pathlib import Path

import torch
from transformers import TrainerCallback, TrainingArguments

from rankone.runtime.job import time_left
from rankone.training import measurement
from rankone.training.run_state import export_path, read_metrics
from rankone.weights.checkpoints import export

logger = logging.getLogger(__name__)

# Of metrics.tsv; what a method does not log is missing there (NaN).
COLUMNS = [
    *("reward", "reward_std", "zero_spread_share", "entropy", "completion_length"),
    *("truncated_share", "gradient_norm", "learning_rate", "loss", "tokens"),
]
# By the name under which every trainer logs them.
PLAIN_COLUMNS = {
    "grad_norm": "gradient_norm",
    "learning_rate": "learning_rate",
    "loss": "loss",
}


def precision(args: TrainingArguments) -> str:
    """What the forward and backward passes compute in."""
    if args.bf16 or args.fp16:
        return "bfloat16 autocast" if args.bf16 else "float16 autocast"
    return "float32"


class Recorder(TrainerCallback):
    """Appends one row of metrics a step to a file, and logs progress with an ETA.

    `columns` are those that the method logs, by the names under which it does.
    """

    def __init__(
        self,
        path: Path,
        run: str,
        observer: measurement.MeasurementCallback,
        columns: Mapping[str, str],
    ):
        self.path, self.run, self.observer = path, run, observer
        self.columns = PLAIN_COLUMNS | dict(columns)
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
        if "loss" not in logs or not state.is_world_process_zero:
            return
        row = {"run": self.run, "step": state.global_step}
        row |= dict.fromkeys(COLUMNS, math.nan)
        row |= {column: float(logs[key]) for key, column in self.columns.items()}
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

    def agreed(self, args: TrainingArguments) -> bool:
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
