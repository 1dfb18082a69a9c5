"""Validation of the config, wildcard constraints, and helpers for the rules."""

import atexit
import os
import sys
from contextlib import ExitStack
from pathlib import Path

from snakemake.exceptions import WorkflowError
from snakemake.settings.enums import Quietness
from snakemake.utils import validate

SCRIPTS = Path(workflow.current_basedir).parent / "scripts"
sys.path.insert(0, str(SCRIPTS))

from rankone.data.hub import assets, check_pinned
from rankone.data.package_index import BENCHMARK_PACKAGES, PACKAGE_FILES
from rankone.errors import UserError
from rankone.runtime.leases import hold
from rankone.runtime.slurm import end_orphans
from rankone.study import estimates as resources
from rankone.study.disk import GIGABYTE, check_room, disk_needed
from rankone.study.runs import expand
from rankone.study.validation import check, completion_limits
from rankone.study.yaml_keys import check_keys
from rankone.training.method import method_settings
from rankone.weights.import_plan import hub_revision as hub
from rankone.weights.model_files import weight_files

# The working directory may differ from the checkout; schemas belong to the latter.
validate(config, "../schemas/config.schema.yaml")


def refuse(test, subject=config):
    """Apply a test to the config; its UserError ends Snakemake with that sentence."""
    try:
        test(subject)
    except UserError as error:
        raise WorkflowError(str(error)) from None


for file in workflow.configfiles:
    refuse(check_keys, file)
refuse(check)
HUB = assets(config)

# Jobs inherit these. Models and data come from declared files; the hub is reached by
# the rule that downloads alone (rankone.hub).
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.update(HF_HUB_OFFLINE="1", HF_DATASETS_OFFLINE="1")
# GPUs are counted without touching them: a job chooses its own first.
os.environ.setdefault("PYTORCH_NVML_BASED_CUDA_CHECK", "1")

RUNS = expand(config)
STEPS = {run: settings["steps"] for run, settings in RUNS.items()}
TRAINED = [run for run, settings in RUNS.items() if settings["sources"] is None]
IMPORTED = [run for run in RUNS if run not in TRAINED]
# The steps of every run that is trained here.
EXPORTED = STEPS[TRAINED[0]] if TRAINED else []
RELEASED = [
    f"results/train/{run}/released"
    for run in TRAINED
    if config["checkpoints"] == "temp"
]
# Every step of a run without an intervention, the last one of the others.
EXAMINED = [
    (run, step)
    for run, settings in RUNS.items()
    for step in (STEPS[run][-1:] if settings["intervention"] else STEPS[run])
]
# Runs without an intervention, whose whole spectra are analysed.
PLAIN = [run for run, settings in RUNS.items() if not settings["intervention"]]
GEOMETRY_TABLES = ["tails", "fits", "anatomy", "overlap"]
# Where answers are sampled: the base, and the last exported step of every run.
SAMPLED = [("base", 0), *((run, STEPS[run][-1]) for run in RUNS)]
PROBED = list(dict.fromkeys(["train", *config["probes"]["splits"]]))
SPLITS = ["train", "train_probe", "held_out", "shifted"]
# Benchmarks of lm-eval itself, with data from the hub.
OUTSIDE = {name: b for name, b in config["benchmarks"].items() if "hub" in b}
# No GPU is asked for before they have been downloaded and loaded once.
READY = {"ready": ancient("results/prepare/benchmarks.tsv")} if OUTSIDE else {}
CHOICE = [name for name in config["benchmarks"] if name in BENCHMARK_PACKAGES]
# What only training gives.
TRAINING_TABLES = ["training", "probes", "overfitting", "substitutions"]
TABLES = [
    *("scores", "differences", "recovery", "matrices"),
    *(TRAINING_TABLES if TRAINED else []),
]
SAMPLE_TABLES = [
    *("pass_at_k", "pass_null", "efficiency", "solvable", "perplexity", "kl"),
]
KNOWLEDGE_TABLES = ["retention", "forgetting", "forgetting_curve"]
ALIGNMENT_TABLES = ["alignment", "alignment_contrast", "subspaces", "trajectory"]
# What is analysed beyond scores and rewards, with the tables that claims are tested on.
PARTS = {
    "samples": ["pass_at_k", "perplexity", "forgetting"],
    "geometry": ["tails", "anatomy", "overlap"],
    "trajectories": ["alignment_contrast", "trajectory"],
}
ANALYSED = [part for part in PARTS if part in config["analyze"]["parts"]]
CLAIM_TABLES = [name for part in ANALYSED for name in PARTS[part]]
CLAIM_TABLES += ["overfitting"] if TRAINED else []
# What jobs of each heavy rule need, from the number of weights, and a whole study in GB.
COSTS = resources.costs(config)
TOTALS = dict(
    zip(("peak", "kept"), (size / GIGABYTE for size in disk_needed(config))),
    tflops=config["hardware"]["tflops"],
    gpu=resources.gpu_mb(config) / 1e3 if TRAINED else 0,
)
# Torch gets every core of a workstation: two such processes side by side slow each
# other several times.
ALL_CORES = 16


def limit(name):
    """What `--resources` or `--cores` gives of a resource; None without a limit."""
    return getattr(workflow.global_resources.get(name), "value", None)


def check_gpus(config):
    """Raise UserError where Snakemake would give a job fewer GPUs than it asks for."""
    most, found = max(cost.gpu for cost in COSTS.values()), limit("gpu")
    if found and found < most:
        raise UserError(
            f"--resources gpu={found}, but a job of this study asks for {most} GPUs "
            "(launch.processes); give as many or change the config."
        )


if workflow.is_main_process:
    refuse(check_gpus)
CORES = limit("_cores") or os.cpu_count()
# A GPU job has all cores, or its share where `--resources gpu=N` gives several GPUs.
GPU_CORES = max(1, min(ALL_CORES, CORES // (limit("gpu") or 1)))
# Small matrices leave a second thread idle: two such jobs side by side are faster.
HALF_THE_CORES = max(1, min(ALL_CORES, CORES // 2))


wildcard_constraints:
    run="|".join(["base", *RUNS]),
    step=r"\d+",
    package="|".join(PACKAGE_FILES),
    asset=r"(models|datasets)/[^/]+/[^/]+",


def made_from(wildcards):
    """What the study makes from the weights of one run alone."""
    files = examined("results/decompose/{run}/step-{step}.factors.safetensors")
    files += [*examined("results/evaluate/{run}/step-{step}.parquet"), *ARTEFACTS]
    if "samples" in ANALYSED:
        files += sampled("results/sample/{run}/step-{step}.parquet")
    if "geometry" in ANALYSED:
        files += ends("results/tails/{run}/step-{step}.values.parquet")
        files += ends("results/anatomy/{run}/step-{step}.parquet")
    if "trajectories" in ANALYSED:
        files += collect("results/trajectory/{run}.parquet", run=FOLLOWED)
    return [file for file in files if wildcards.run in Path(file).with_suffix("").parts]


def only(runs):
    """A constraint to these runs; without any, to nothing."""
    return "|".join(runs) or "(?!)"


def examined(pattern):
    """The files of every run and step that is decomposed and benchmarked."""
    return [pattern.format(run=run, step=step) for run, step in EXAMINED]


def ends(pattern):
    """The files of the last step of every run without an intervention."""
    return [pattern.format(run=run, step=STEPS[run][-1]) for run in PLAIN]


def passing(paths):
    """Checkpoints, which go once everything is made of them, if the study says so."""
    return temp(paths) if config["checkpoints"] == "temp" else paths


def checkpoints(wildcards):
    """The weights of all steps of a run."""
    pattern = f"results/train/{wildcards.run}/checkpoints/step-{{step}}.safetensors"
    return collect(pattern, step=STEPS[wildcards.run])


def source(wildcards):
    """Where the weights of an imported step come from."""
    return RUNS[wildcards.run]["sources"][int(wildcards.step)]


def source_folder(wildcards):
    """The folder that holds an imported step: the user's, or the one downloaded to."""
    if hub(found := source(wildcards)):
        return f"results/train/{wildcards.run}/downloads/step-{wildcards.step}"
    return found


def source_files(wildcards):
    """The weights of an imported step; of one on a hub its folder."""
    folder = source_folder(wildcards)
    return folder if hub(source(wildcards)) else weight_files(Path(folder))


def table_path(name):
    """Where a table is; the claims have a place of their own."""
    return f"results/{name}" if name == "claims.tsv" else f"results/tables/{name}"


def sampled(pattern):
    """The files of the base and of every run's last step."""
    return [pattern.format(run=run, step=step) for run, step in SAMPLED]


def recipe(arm):
    """What an arm's intervention puts for the updates; None without one."""
    return arm["intervention"]["recipe"] if "intervention" in arm else None


def hub_folder(kind, settings):
    """Where the files of a repository of the hub are."""
    return f"results/prepare/hub/{kind}/{settings['hub']}"


def model_source(wildcards):
    """The package file or hub files of the base model; nothing for a local folder."""
    model = config["model"]
    if "package" in model:
        return {"source": f"results/prepare/packages/{model['package']}"}
    return {"source": hub_folder("models", model)} if "hub" in model else {}


def problem_sources(wildcards):
    """Folder or file of each dataset that problems are taken from."""
    return {
        name: dataset.get("path") or hub_folder("datasets", dataset)
        for name, dataset in config["problems"].get("datasets", {}).items()
    }


def archives(wildcards):
    """The package files that hold the multiple-choice benchmarks of the study."""
    packages = {BENCHMARK_PACKAGES[name] for name in CHOICE}
    return {name: f"results/prepare/packages/{name}" for name in sorted(packages)}


def applied(names, wildcards):
    """All of these at the last step of a run without an intervention, else `full`."""
    if wildcards.run == "base":
        return ["base"]
    last = int(wildcards.step) == STEPS[wildcards.run][-1]
    changed = RUNS[wildcards.run]["intervention"]
    return names if last and not changed else ["full"]


def variants(wildcards):
    """The variants that are benchmarked."""
    return applied(config["variants"], wildcards)


def sampled_variants(wildcards):
    """The variants whose answers are sampled."""
    return applied(config["sample"]["variants"], wildcards)


def checkpoint(wildcards):
    """The weights of a step; nothing for the base."""
    if wildcards.run == "base":
        return {}
    folder = f"results/train/{wildcards.run}/checkpoints"
    return {"checkpoint": f"{folder}/step-{wildcards.step}.safetensors"}


def trained(wildcards):
    """Checkpoint and factors of a step; nothing for the base."""
    if wildcards.run == "base":
        return {}
    step = f"{wildcards.run}/step-{wildcards.step}"
    factors = f"results/decompose/{step}.factors.safetensors"
    return checkpoint(wildcards) | {"factors": factors}


def previous(wildcards):
    """The checkpoint before, if local updates are asked for and there is one."""
    steps = STEPS[wildcards.run]
    index = steps.index(int(wildcards.step))
    if index == 0 or "local" not in config["decompose"]["updates"]:
        return {}
    folder = f"results/train/{wildcards.run}/checkpoints"
    return {"previous": f"{folder}/step-{steps[index - 1]}.safetensors"}


def prepared(wildcards):
    """Problem sets and benchmark items that the study's tasks read."""
    return [
        *collect("results/prepare/problems/{split}.jsonl", split=SPLITS),
        *collect("results/prepare/benchmarks/{name}.jsonl", name=CHOICE),
        *(hub_folder("datasets", benchmark) for benchmark in OUTSIDE.values()),
    ]


def measured(wildcards):
    """How often a run is measured."""
    return resources.measurements(config, RUNS[wildcards.run]["intervention"])


# The work of a job in units of its rule's cost; 0 for rules that are not here.
WORK = {
    "train": measured,
    "evaluate": lambda wildcards: len(variants(wildcards)),
    "sample": lambda wildcards: len(sampled_variants(wildcards)),
    "tails": lambda wildcards: int(wildcards.run != "base"),
    "trajectory": lambda wildcards: len(STEPS[wildcards.run]),
}


def work(rule, wildcards):
    return WORK[rule](wildcards) if rule in WORK else 0


def memory(rule):
    """Memory of a rule's jobs in MB, more at every attempt."""
    return lambda wildcards, attempt: resources.megabytes(COSTS[rule], attempt)


def minutes(rule):
    """The time limit of a rule's jobs."""
    return lambda wildcards, attempt: resources.minutes(
        COSTS[rule], work(rule, wildcards), attempt
    )


def workload():
    """The work of every planned job of the heavy rules, by rule."""
    found = {}
    for job in workflow.dag.needrun_jobs(exclude_finished=False):
        if job.rule.name in COSTS:
            amount = work(job.rule.name, job.wildcards)
            found.setdefault(job.rule.name, []).append(amount)
    return found


def plan():
    """What is about to happen and what it costs, in a few lines."""
    runs = []
    if TRAINED:
        steps = ", ".join(map(str, EXPORTED))
        length = config["schedule"]["max_steps"]
        runs.append(f"{len(TRAINED)} runs of {length} steps, exported at {steps}")
    if IMPORTED:
        count = sum(len(STEPS[run]) for run in IMPORTED)
        runs.append(f"{len(IMPORTED)} imported runs with {count} checkpoints")
    return (
        f"Study {config['study']}: {'; '.join(runs)} ({len(config['arms'])} arms); "
        f"{len(config['variants'])} variants, {len(config['benchmarks'])} benchmarks.\n"
        f"{resources.summary(COSTS, workload(), TOTALS)}"
        "Logs: logs/. Stop with Ctrl-C; the same command goes on."
    )


def own_folder(config):
    """Keep other Snakemakes out of the folder, and end jobs that a killed one left."""
    held = ExitStack()
    held.enter_context(
        hold(".snakemake/rankone.lease", f"The folder {Path.cwd()}", wait=False)
    )
    atexit.register(held.close)
    prefix = getattr(workflow.executor_settings, "jobname_prefix", None)
    if prefix:
        end_orphans(Path(workflow.workdir_init), prefix)


def print_after_dry_run():
    """The plan, once a dry run has listed its jobs; nothing in any other process."""
    silent = {Quietness.PROGRESS, Quietness.ALL}
    quiet = silent.intersection(workflow.output_settings.quiet or ())
    if workflow.is_main_process and workflow.dryrun and workflow.dag and not quiet:
        print(plan())


# Handlers such as onstart do not run in a dry run.
atexit.register(print_after_dry_run)


def closing(path):
    """The headline and where the report is."""
    path = Path(path)
    text = path.read_text() if path.exists() else ""
    return (
        f"{text}\nReport: {Path('results/report.html').resolve()}" if text else "Done."
    )


def training_settings(wildcards):
    """Everything that decides the outcome of a run."""
    arm = RUNS[wildcards.run]["arm"]
    return method_settings(config, arm) | {
        "lora": config["lora"],
        "schedule": config["schedule"],
        "probes": config["probes"],
        "launch": config["launch"],
        "seed": RUNS[wildcards.run]["seed"],
        "intervention": RUNS[wildcards.run]["intervention"],
        "trust_remote_code": config["model"]["trust_remote_code"],
    }


def evaluation_settings():
    """Everything but the variants that decides the scores of a model."""
    return {
        "benchmarks": {
            name: benchmark | {"generation": generation_limits(name, benchmark)}
            for name, benchmark in config["benchmarks"].items()
        },
        "evaluate": config["evaluate"],
        "others": config["others"],
        "seed": config["evaluate"]["seed"],
        "trust_remote_code": config["model"]["trust_remote_code"],
    }


def generation_limits(name, benchmark):
    """What ends an answer; to the study's own problems, what ends it in training."""
    own = completion_limits(config) if name.startswith("problems_") else {}
    return own | benchmark["generation"]


def sample_settings():
    """Everything but the variants that decides the sampled answers of a model."""
    sample = {key: v for key, v in config["sample"].items() if key != "variants"}
    return sample | {
        "tokens": sample["tokens"] or resources.completion_length(config),
        "dtype": config["evaluate"]["dtype"],
        "others": config["others"],
        "seed": config["evaluate"]["seed"],
        "trust_remote_code": config["model"]["trust_remote_code"],
    }
