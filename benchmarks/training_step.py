"""Seconds of a training step: Rankone against a bare TRL script, same settings.

Run it after `make study` has prepared the base model:

    .venv/bin/python benchmarks/training_step.py

Each side trains in a process of its own, one after the other, on the same problems,
with the same seed. It prints the median step of both (without the first, which warms
up), their ratio, and how far their rewards are apart.
"""

import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parent.parent
sys.path.append(str(ROOT / "workflow" / "scripts"))
PREPARED = ROOT / "results" / "prepare"
STEPS = 7
THREADS = 2


def grpo_settings() -> dict:
    """The GRPO settings of the embedded study; both sides in the same precision."""
    from rankone.runtime.device import has_bfloat16

    settings = yaml.safe_load((ROOT / "config" / "config.yaml").read_text())["grpo"]
    return {"bf16": has_bfloat16()} | settings


def bare(folder: Path) -> list[dict]:
    """What a user would write with TRL alone."""
    import torch
    from datasets import load_dataset
    from transformers import AutoModelForCausalLM, AutoTokenizer, TrainerCallback
    from trl import GRPOConfig, GRPOTrainer

    from rankone.data.verifiers.integer import equal_integers

    class Clock(TrainerCallback):
        rows = []

        def on_step_begin(self, *args, **kwargs):
            self.begun = time.monotonic()

        def on_step_end(self, *args, **kwargs):
            self.seconds = time.monotonic() - self.begun

        def on_log(self, args, state, control, logs=None, **kwargs):
            if "reward" in logs:
                self.rows.append({"seconds": self.seconds, "reward": logs["reward"]})

    def reward(completions, answer, **kwargs):
        return [float(right) for right in equal_integers(completions, answer)]

    torch.set_num_threads(THREADS)
    model = AutoModelForCausalLM.from_pretrained(PREPARED / "model", dtype="float32")
    tokenizer = AutoTokenizer.from_pretrained(PREPARED / "model", padding_side="left")
    newline = tokenizer.encode("\n")
    model.generation_config.eos_token_id = [*newline, tokenizer.eos_token_id]
    problems = str(PREPARED / "problems" / "train.jsonl")
    cache = str(folder / "cache")
    GRPOTrainer(
        model=model,
        args=GRPOConfig(
            output_dir=str(folder),
            max_steps=STEPS,
            save_strategy="no",
            logging_steps=1,
            report_to="none",
            seed=0,
            use_cpu=True,
            **grpo_settings(),
        ),
        reward_funcs=reward,
        train_dataset=load_dataset("json", data_files=problems, cache_dir=cache)[
            "train"
        ],
        processing_class=tokenizer,
        callbacks=[Clock()],
    ).train()
    return Clock.rows


def rankone(folder: Path) -> list[dict]:
    """The code that the rule `train` runs."""
    from transformers import AutoTokenizer

    from rankone.files import read_jsonl
    from rankone.runtime.device import set_up
    from rankone.training import fit, run_state
    from rankone.training.settings import TrainingSettings
    from rankone.weights.base_model import load_model
    from rankone.weights.model_files import weight_files

    set_up(THREADS, keep_memory=True)
    schedule = {"max_steps": STEPS, "save_steps": 10 * STEPS, "export_steps": [STEPS]}
    settings = TrainingSettings(
        schedule=schedule,
        probes={"splits": []},
        launch={},
        lora=None,
        intervention=None,
        seed=0,
        trust_remote_code=False,
        grpo=grpo_settings(),
    )
    fit.train(
        load_model(PREPARED / "model"),
        AutoTokenizer.from_pretrained(PREPARED / "model", padding_side="left"),
        {"train": read_jsonl(PREPARED / "problems" / "train.jsonl")},
        *("benchmark", settings, folder),
        *(weight_files(PREPARED / "model"), {}),
    )
    return run_state.read_metrics(folder / "metrics.jsonl")


def measure(side: str) -> list[dict]:
    """Train one side in a fresh process; seconds and reward of each step."""
    with tempfile.TemporaryDirectory() as folder:
        result = Path(folder) / "rows.json"
        command = [sys.executable, __file__, side, folder, str(result)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        return json.loads(result.read_text())


def main() -> None:
    """Measure both sides and print the comparison."""
    rows = {side: measure(side) for side in ("bare", "rankone")}
    seconds = {
        side: statistics.median(row["seconds"] for row in taken[1:])
        for side, taken in rows.items()
    }
    rewards = [[float(row["reward"]) for row in taken] for taken in rows.values()]
    print(
        f"bare TRL {seconds['bare']:.1f} s, Rankone {seconds['rankone']:.1f} s a step"
    )
    print(f"ratio {seconds['rankone'] / seconds['bare']:.2f}")
    print(f"largest difference in reward {max(map(gap, *rewards)):.4f}")


def gap(first: float, second: float) -> float:
    """Absolute difference."""
    return abs(first - second)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        side, folder, result = sys.argv[1:]
        run = {"bare": bare, "rankone": rankone}[side]
        Path(result).write_text(json.dumps(run(Path(folder))))
    else:
        main()
