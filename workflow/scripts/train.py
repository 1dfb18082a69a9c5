"""Train one run with RLVR and export its checkpoints."""

from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
import transformers
import trl
from transformers import AutoTokenizer

from rankone import sharing, training
from rankone.checkpoints import weight_files, weights_hash
from rankone.compute import set_up
from rankone.files import digest, read_jsonl, sha256
from rankone.jobs import job
from rankone.models import load_model
from rankone.study import STATE_COPIES, check_disk

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake


def main(
    run: str,
    model_folder: str,
    problems: str,
    settings: dict,
    state: str,
    metrics: str,
    checkpoints: dict[int, str],
) -> None:
    """Train, or go on training, the run called `run`; then publish its files.

    `settings` has `grpo`, `lora`, `schedule`, `seed` and `trust_remote_code`.
    """
    state = Path(state)
    identity = {
        "run": run,
        "settings": settings,
        "base": weights_hash(model_folder),
        "problems": sha256(problems),
        "versions": {m.__name__: m.__version__ for m in (transformers, trl)},
        "code": [sha256(module.__file__) for module in (sharing, training)],
    }
    training.claim_state(state, identity)
    if not training.finished(state, list(checkpoints)):
        size = sum(file.stat().st_size for file in weight_files(model_folder))
        check_disk(size * (len(checkpoints) + STATE_COPIES), [str(state)])
        args = training.arguments(
            settings["grpo"], settings["schedule"], settings["seed"], state
        )
        training.train(
            load_model(model_folder, trust=settings["trust_remote_code"]),
            AutoTokenizer.from_pretrained(model_folder, padding_side="left"),
            *(read_jsonl(problems), args, run, list(checkpoints)),
            {"run": run, "base": identity["base"], "identity": digest(identity)},
            settings["lora"],
        )
    rows = pd.DataFrame(training.read_metrics(state / "metrics.jsonl"))
    last = training.export_path(state / "exports", max(checkpoints))
    training.check_result(run, rows, weight_files(model_folder), last)
    training.publish(state, metrics, checkpoints)


if __name__ == "__main__":
    with job(snakemake.log[0]):
        set_up(snakemake.threads, keep_memory=True)
        main(
            snakemake.wildcards.run,
            *(snakemake.input.model, snakemake.input.problems),
            *(snakemake.params.settings, snakemake.params.state),
            snakemake.output.metrics,
            dict(
                zip(snakemake.params.steps, snakemake.output.checkpoints, strict=True)
            ),
        )
