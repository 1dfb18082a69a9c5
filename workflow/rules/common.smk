"""Config, wildcard constraints, paths and resources that several rules share."""

import os
import sys
from importlib.util import find_spec
from pathlib import Path

from snakemake.exceptions import WorkflowError

if not find_spec("rankone"):
    sys.path.append(str(Path(workflow.current_basedir).parent / "scripts"))

from rankone.data.benchmark import package_files
from rankone.data.hub import assets
from rankone.errors import UserError
from rankone.settings import plain
from rankone.study import estimates, plan, selection, settings
from rankone.study.runs import expand
from rankone.study.validation import load
from rankone.study.yaml_keys import check_keys


def refuse(test, *subjects):
    """What a test gives; its UserError ends Snakemake with that sentence."""
    try:
        return test(*subjects)
    except UserError as error:
        raise WorkflowError(str(error)) from None


for file in workflow.configfiles:
    refuse(check_keys, file)
# The package's functions get the typed config. Jobs get plain values: a param is made
# again when its text changes, so those stay as they were given.
STUDY = refuse(load, config)
config.update(plain(STUDY, config))
HUB = refuse(assets, STUDY)

# Jobs inherit these. Models and data come from declared files; the hub is reached by
# the rule that downloads alone (rankone.hub).
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.update(HF_HUB_OFFLINE="1", HF_DATASETS_OFFLINE="1")
# GPUs are counted without touching them: a job chooses its own first.
os.environ.setdefault("PYTORCH_NVML_BASED_CUDA_CHECK", "1")

RUNS = expand(STUDY)
TRAINED = selection.trained_runs(RUNS)
IMPORTED = selection.imported_runs(RUNS)
UNMODIFIED_RUNS = selection.unmodified_runs(RUNS)
EVALUATED_STEPS = selection.evaluated_steps(RUNS)
SAMPLED_STEPS = selection.sampled_steps(RUNS)
ANALYSED = selection.analyses(STUDY)
ALL_TABLES = selection.all_tables(STUDY, RUNS)
HUB_BENCHMARKS = selection.hub_benchmarks(STUDY)
PACKAGED_BENCHMARKS = selection.packaged_benchmarks(STUDY)
# What the study makes from the weights of each run, by rule.
PRODUCTS = selection.products(STUDY, RUNS)
BOOTSTRAP = settings.bootstrap_settings(STUDY.analyze)


def limit(name):
    """What `--resources` or `--cores` gives of a resource; None without a limit."""
    return getattr(workflow.global_resources.get(name), "value", None)


# What jobs of each heavy rule need, from the number of weights.
COSTS = estimates.costs(STUDY)
if workflow.is_main_process:
    refuse(plan.check_gpus, COSTS, limit("gpu"))
# Torch gets every core of a workstation: two such processes side by side slow each
# other several times.
ALL_CORES = 16
CORES = limit("_cores") or os.cpu_count()
# A GPU job has all cores, or its share where `--resources gpu=N` gives several GPUs.
GPU_CORES = plan.share_of_cores(CORES, limit("gpu") or 1, most=ALL_CORES)
# Small matrices leave a second thread idle: two such jobs side by side are faster.
HALF_THE_CORES = plan.share_of_cores(CORES, 2, most=ALL_CORES)


wildcard_constraints:
    run="|".join(["base", *RUNS]),
    step=r"\d+",
    package="|".join(package_files()),
    asset=r"(models|datasets)/[^/]+/[^/]+",


def only(runs):
    """A constraint to these runs; without any, to nothing."""
    return "|".join(runs) or "(?!)"


def memory(rule):
    """Memory of a rule's jobs in MB, more at every attempt."""
    return lambda wildcards, attempt: estimates.megabytes(COSTS[rule], attempt)


def minutes(rule):
    """The time limit of a rule's jobs."""
    return lambda wildcards, attempt: estimates.minutes(
        COSTS[rule], plan.job_work(STUDY, RUNS, rule, dict(wildcards.items())), attempt
    )


def evaluated(pattern):
    """The files of every run and step that is decomposed and benchmarked."""
    return selection.files(pattern, EVALUATED_STEPS)


def sampled(pattern):
    """The files of the base and of every run's last step."""
    return selection.files(pattern, SAMPLED_STEPS)


def final_checkpoints(pattern):
    """The files of the last step of every run without an intervention."""
    return selection.files(pattern, selection.last_steps(RUNS, UNMODIFIED_RUNS))


def maybe_temp(paths):
    """Checkpoints, which go once everything is made of them, if the study says so."""
    return temp(paths) if STUDY.checkpoints == "temp" else paths


def checkpoint(run, step):
    """Where the weights of a step are."""
    return f"results/train/{run}/checkpoints/step-{step}.safetensors"


def variants_at(names):
    """Those of these variants that are made at a job's step."""
    return lambda wildcards: selection.variants_at(
        names, RUNS, wildcards.run, int(wildcards.step)
    )


def hub_folder(kind, place):
    """Where the files of a repository of the hub are."""
    return f"results/prepare/hub/{kind}/{place.hub}"


def table_path(name):
    """Where a table is; the claims have a place of their own."""
    return f"results/{name}" if name == "claims.tsv" else f"results/tables/{name}"
