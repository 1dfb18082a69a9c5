"""Base model, problem sets and benchmark items.

Out: results/prepare/{model/, problems/*.jsonl, benchmarks/*.jsonl, benchmarks.tsv}
"""

from rankone.data.benchmark import BENCHMARKS
from rankone.data.source import source_of

# The package file or hub files of the base model; nothing for a local folder.
MODEL_SOURCE = {}
if STUDY.model.package:
    MODEL_SOURCE["source"] = f"results/prepare/packages/{STUDY.model.package}"
elif STUDY.model.hub:
    MODEL_SOURCE["source"] = hub_folder("models", STUDY.model)
# Folder or file of each thing that problems are made from.
PROBLEM_SOURCES = {
    name: place.path or hub_folder("datasets", place)
    for name, place in source_of(STUDY.problems).inputs(STUDY.problems).items()
}
# The package files that hold the multiple-choice benchmarks of the study.
ARCHIVES = {
    package: f"results/prepare/packages/{package}"
    for package in sorted({BENCHMARKS[n].package.name for n in PACKAGED_BENCHMARKS})
}
# No GPU is asked for before these have been downloaded and loaded once.
BENCHMARK_GATE = {}
if HUB_BENCHMARKS:
    BENCHMARK_GATE["ready"] = ancient("results/prepare/benchmarks.tsv")


rule fetch_package:
    output:
        temp("results/prepare/packages/{package}"),
    log:
        "logs/fetch_package/{package}.log",
    priority: 100
    localrule: True
    conda:
        "../../envs/prepare.yaml"
    params:
        package="{package}",
    message:
        "Fetching the file of the package {wildcards.package}"
    script:
        "../scripts/fetch_package.py"


rule prepare_model:
    input:
        **MODEL_SOURCE,
    output:
        folder=directory("results/prepare/model"),
    log:
        "logs/prepare_model.log",
    benchmark:
        "results/resources/prepare_model.tsv"
    localrule: True
    conda:
        "../../envs/train.yaml"
    threads: 2
    resources:
        mem_mb=memory("prepare_model"),
    params:
        model=config["model"],
    message:
        "Preparing the base model"
    script:
        "../scripts/prepare_model.py"


rule prepare_problems:
    input:
        **PROBLEM_SOURCES,
    output:
        **{
            split: f"results/prepare/problems/{split}.jsonl"
            for split in selection.SPLITS
        },
    log:
        "logs/prepare_problems.log",
    priority: 100
    localrule: True
    conda:
        "../../envs/prepare.yaml"
    params:
        problems=config["problems"],
    message:
        "Making the problem sets"
    script:
        "../scripts/prepare_problems.py"


if HUB:

    rule download:
        output:
            directory("results/prepare/hub/{asset}"),
        log:
            "logs/download/{asset}.log",
        priority: 100
        localrule: True
        conda:
            "../../envs/prepare.yaml"
        params:
            asset="{asset}",
            revision=lambda wildcards: HUB[wildcards.asset],
        message:
            "Downloading {wildcards.asset}"
        script:
            "../scripts/download.py"


if HUB_BENCHMARKS:

    rule check_benchmarks:
        input:
            [hub_folder("datasets", benchmark) for benchmark in HUB_BENCHMARKS.values()],
        output:
            "results/prepare/benchmarks.tsv",
        log:
            "logs/check_benchmarks.log",
        priority: 100
        localrule: True
        conda:
            "../../envs/evaluate.yaml"
        params:
            benchmarks={name: config["benchmarks"][name] for name in HUB_BENCHMARKS},
            folders=config["evaluate"]["task_folders"],
            data="results/prepare",
        message:
            "Loading the benchmarks of lm-eval once"
        script:
            "../scripts/check_benchmarks.py"


if PACKAGED_BENCHMARKS:

    # Before any training: whoever lacks a network shall not learn it hours later.
    rule prepare_benchmarks:
        input:
            **ARCHIVES,
        output:
            **{
                name: f"results/prepare/benchmarks/{name}.jsonl"
                for name in PACKAGED_BENCHMARKS
            },
        log:
            "logs/prepare_benchmarks.log",
        priority: 100
        localrule: True
        conda:
            "../../envs/prepare.yaml"
        params:
            limits={},
            seed=0,
        message:
            "Extracting the benchmark items"
        script:
            "../scripts/prepare_benchmarks.py"
