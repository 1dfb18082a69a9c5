"""A training that one process or several carry out alike, for tests/test_launch.py.

    accelerate launch ... tests/ranks.py SCENARIO FOLDER BASE

TRL draws other completions in every process, on purpose. Here they are given by the
step and by their place in the whole batch, and everything else is as in a real run.
"""

import os
import sys
from hashlib import sha256
from pathlib import Path

import torch
from accelerate import PartialState
from accelerate.utils import DistributedType
from safetensors.torch import load_file

from rankone.errors import UserError
from rankone.settings import read_section
from rankone.training import callbacks, fit, grpo_trainer, run_state
from rankone.training.settings import TrainingSettings
from tiny import make_model, make_tokenizer

PROBLEMS = [
    {"id": str(i), "prompt": f"{i} + 1 =", "answer": f"{i + 1}"}
    | {"verifier": "integer", "stop": ["\n"]}
    for i in range(6)
]
BATCH = 16
STEPS = 4
PRS = {"period": 2, "recipe": "rank1", "optimizer_state": "project"}
SCENARIOS = {
    "plain": {},
    "lora": {"lora": {"r": 2, "lora_alpha": 8, "init_lora_weights": False}},
    "rank1": {"intervention": PRS},
    "random": {
        "intervention": PRS | {"recipe": "random_rank1", "optimizer_state": "zero"}
    },
}


class GivenAnswers(grpo_trainer.Trainer):
    """Its completions do not depend on how many processes there are."""

    def _generate_single_turn(self, prompt_ids, *_):
        first = self.accelerator.process_index * len(prompt_ids)
        return [self.answer(first + i, ids) for i, ids in enumerate(prompt_ids)], None

    def answer(self, place: int, prompt: list[int]) -> list[int]:
        """The right answer in about half of all places, a wrong one in the others."""
        number = int(self.processing_class.decode(prompt).split()[0])
        drawn = sha256(f"{self.state.global_step} {place}".encode()).digest()[0]
        return self.processing_class.encode(f" {number + 1 + drawn % 2 * drawn}\n")


class StopAt(callbacks.Stop):
    """Asked to stop in the last process alone, at that step of the first attempt."""

    def __init__(self, step: int):
        super().__init__()
        self.step = step

    def on_step_begin(self, args, state, control, **kwargs):
        last = args.process_index == args.world_size - 1
        self.requested = last and state.global_step + 1 == self.step


def plain_settings(**changes) -> dict:
    """Of a run of STEPS steps, measured at its start, its end and in between."""
    probes = {"splits": ["held_out"], "problems": 2, "samples": 2, "batch_size": 16}
    return {
        "schedule": {"max_steps": STEPS, "save_steps": 1, "export_steps": [2, STEPS]},
        "lora": None,
        "seed": 0,
        "intervention": None,
        "probes": probes | {"every": None},
        "launch": {"processes": 1},
        "trust_remote_code": False,
    } | changes


def settings(**changes) -> TrainingSettings:
    """The same, typed."""
    return read_section(TrainingSettings, plain_settings(**changes))


def run(folder: Path, base: list[Path], **changes) -> dict[str, torch.Tensor]:
    """Train the tiny model in `folder`, or go on; the weights that it exports."""
    processes = int(os.environ.get("WORLD_SIZE", 1))
    grpo = {
        "per_device_train_batch_size": BATCH // processes,
        "num_generations": 8,
        "bf16": False,
        "learning_rate": 1e-2,
        "max_completion_length": 4,
        "beta": 0.0,
        "use_cpu": "FSDP_VERSION" not in os.environ,
    }
    tokenizer = make_tokenizer()
    tokenizer.padding_side = "left"
    fit.train(
        make_model(),
        tokenizer,
        dict.fromkeys(("train", "held_out"), PROBLEMS),
        *("run", settings(grpo=grpo, **changes), folder, base, {}),
    )
    return load_file(run_state.export_path(folder / "exports", STEPS))


def take_cpu_for_gpu() -> None:
    """Let accelerate shard on a CPU, which it otherwise does on accelerators alone."""
    os.environ["ACCELERATE_TORCH_DEVICE"] = "cpu"
    PartialState._prepare_backend = lambda *_: ("gloo", DistributedType.MULTI_GPU)


def main(folder: str, base: str, *names: str) -> None:
    """Run scenarios, then `plain` once more, stopped and resumed."""
    if "FSDP_VERSION" in os.environ:
        take_cpu_for_gpu()
    grpo_trainer.Trainer = GivenAnswers
    for name in names:
        run(Path(folder) / name, [Path(base)], **SCENARIOS[name])
    plain_stop, fit.Stop = fit.Stop, lambda: StopAt(3)
    try:
        run(Path(folder) / "resumed", [Path(base)])
    except UserError as error:
        print(error, flush=True)
    fit.Stop = plain_stop
    run(Path(folder) / "resumed", [Path(base)])


if __name__ == "__main__":
    main(*sys.argv[1:])
