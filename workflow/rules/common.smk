"""Validation of the config, wildcard constraints, and helpers for the rules."""

import os
import sys
from pathlib import Path

from snakemake.exceptions import WorkflowError
from snakemake.utils import validate

SCRIPTS = Path(workflow.current_basedir).parent / "scripts"
sys.path.insert(0, str(SCRIPTS))

from rankone.errors import UserError
from rankone.runs import expand
from rankone.sources import BENCHMARK_PACKAGES, PACKAGE_FILES
from rankone.study import check, check_room

# The working directory may differ from the checkout; schemas belong to the latter.
validate(config, "../schemas/config.schema.yaml")


def refuse(test):
    """Apply a test to the config; its UserError ends Snakemake with that sentence."""
    try:
        test(config)
    except UserError as error:
        raise WorkflowError(str(error)) from None


refuse(check)

# Jobs inherit these. Models and data come from declared files, never from a hub.
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

RUNS = expand(config["arms"])
STEPS = sorted(config["schedule"]["export_steps"])
# Every exported step of a run without an intervention, the last one of the others.
EXAMINED = [
    (run, step)
    for run, settings in RUNS.items()
    for step in (STEPS[-1:] if settings["intervention"] else STEPS)
]
PROBED = list(dict.fromkeys(["train", *config["probes"]["splits"]]))
SPLITS = ["train", "train_probe", "held_out", "shifted"]
CHOICE = [name for name in config["benchmarks"] if name in BENCHMARK_PACKAGES]
TABLES = [
    *("training", "scores", "differences", "recovery", "matrices"),
    *("probes", "overfitting", "substitutions"),
]
ALIGNMENT_TABLES = ["alignment", "alignment_contrast", "trajectory"]
# Torch gets every core of a workstation: two such processes side by side slow each
# other several times.
ALL_CORES = 16


wildcard_constraints:
    run="|".join(["base", *RUNS]),
    step=r"\d+",
    package="|".join(PACKAGE_FILES),


def examined(pattern):
    """The files of every run and step that is decomposed and benchmarked."""
    return [pattern.format(run=run, step=step) for run, step in EXAMINED]


def recipe(arm):
    """What an arm's intervention puts for the updates; None without one."""
    return arm["intervention"]["recipe"] if "intervention" in arm else None


def wheel(wildcards):
    """The package file that holds the base model, if it comes from a package."""
    package = config["model"].get("package")
    return {"wheel": f"results/prepare/packages/{package}"} if package else {}


def archives(wildcards):
    """The package files that hold the multiple-choice benchmarks of the study."""
    packages = {BENCHMARK_PACKAGES[name] for name in CHOICE}
    return {name: f"results/prepare/packages/{name}" for name in sorted(packages)}


def variants(wildcards):
    """All variants at the last step of a run without an intervention, else `full`."""
    if wildcards.run == "base":
        return ["base"]
    last = int(wildcards.step) == STEPS[-1]
    changed = RUNS[wildcards.run]["intervention"]
    return config["variants"] if last and not changed else ["full"]


def trained(wildcards):
    """Checkpoint and factors of a step; nothing for the base."""
    if wildcards.run == "base":
        return {}
    step = f"{wildcards.run}/step-{wildcards.step}"
    return {
        "checkpoint": f"results/train/{wildcards.run}/checkpoints/step-{wildcards.step}.safetensors",
        "factors": f"results/decompose/{step}.factors.safetensors",
    }


def previous(wildcards):
    """The checkpoint before, if local updates are asked for and there is one."""
    index = STEPS.index(int(wildcards.step))
    if index == 0 or "local" not in config["decompose"]["updates"]:
        return {}
    folder = f"results/train/{wildcards.run}/checkpoints"
    return {"previous": f"{folder}/step-{STEPS[index - 1]}.safetensors"}


def prepared(wildcards):
    """Problem sets and benchmark items that the study's tasks read."""
    return collect("results/prepare/problems/{split}.jsonl", split=SPLITS) + collect(
        "results/prepare/benchmarks/{name}.jsonl", name=CHOICE
    )


def plan():
    """What is about to happen, in two lines."""
    schedule = config["schedule"]
    return (
        f"Study {config['study']}: {len(RUNS)} runs of {schedule['max_steps']} steps "
        f"({len(config['arms'])} arms), "
        f"exported at {', '.join(map(str, STEPS))}; {len(config['variants'])} variants, "
        f"{len(config['benchmarks'])} benchmarks.\n"
        "Logs: logs/. Stop with Ctrl-C; the same command goes on."
    )


def closing(path):
    """The headline and where the report is."""
    path = Path(path)
    text = path.read_text() if path.exists() else ""
    return (
        f"{text}\nReport: {Path('results/report.html').resolve()}" if text else "Done."
    )


def training_settings(wildcards):
    """Everything that decides the outcome of a run."""
    return {
        "grpo": config["grpo"],
        "lora": config["lora"],
        "schedule": config["schedule"],
        "probes": config["probes"],
        "seed": RUNS[wildcards.run]["seed"],
        "intervention": RUNS[wildcards.run]["intervention"],
        "trust_remote_code": config["model"]["trust_remote_code"],
    }


def evaluation_settings():
    """Everything but the variants that decides the scores of a model."""
    return {
        "benchmarks": config["benchmarks"],
        "evaluate": config["evaluate"],
        "others": config["others"],
        "seed": config["evaluate"]["seed"],
        "trust_remote_code": config["model"]["trust_remote_code"],
    }
