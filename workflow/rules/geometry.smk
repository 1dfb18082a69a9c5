"""Whole spectra and the place of the changes, at the last step of plain runs.

In:  base model, checkpoints.
Out: results/tails/{run}/step-{step}.*.parquet, results/anatomy/{run}/step-{step}.parquet,
     results/anatomy/overlap.parquet, results/tables/{tails, anatomy, overlap}*
"""

TAILS = ["values", "draws", "paths", "curves"]
TAIL_TABLES = ["matrices", "paths", "curves"]
TAIL_FILES = collect(
    "results/tails/{place}.{{name}}.parquet",
    place=["base/step-0", *final_checkpoints("{run}/step-{step}")],
)


rule tails:
    input:
        unpack(trained_weights),
        model="results/prepare/model",
    output:
        **{
            name: f"results/tails/{{run}}/step-{{step}}.{name}.parquet"
            for name in TAILS
        },
    log:
        "logs/tails/{run}-step-{step}.log",
    benchmark:
        "results/resources/tails-{run}-step-{step}.tsv"
    conda:
        "../../envs/train.yaml"
    threads: HALF_THE_CORES
    resources:
        mem_mb=memory("tails"),
        runtime=minutes("tails"),
    params:
        settings=settings.spectra_settings(STUDY.analyze),
    message:
        "Spectra of {wildcards.run} at step {wildcards.step} beside their nulls"
    script:
        "../scripts/tails.py"


rule anatomy:
    input:
        unpack(trained_weights),
        model="results/prepare/model",
    output:
        "results/anatomy/{run}/step-{step}.parquet",
    log:
        "logs/anatomy/{run}-step-{step}.log",
    benchmark:
        "results/resources/anatomy-{run}-step-{step}.tsv"
    conda:
        "../../envs/train.yaml"
    threads: HALF_THE_CORES
    resources:
        mem_mb=memory("anatomy"),
        runtime=minutes("anatomy"),
    params:
        rank=config["decompose"]["rank"],
    message:
        "Anatomy of the updates of {wildcards.run} at step {wildcards.step}"
    script:
        "../scripts/anatomy.py"


rule overlap:
    input:
        model="results/prepare/model",
        checkpoints=final_checkpoints(checkpoint("{run}", "{step}")),
    output:
        "results/anatomy/overlap.parquet",
    log:
        "logs/overlap.log",
    conda:
        "../../envs/train.yaml"
    threads: HALF_THE_CORES
    resources:
        mem_mb=memory("overlap"),
        runtime=minutes("overlap"),
    params:
        runs=UNMODIFIED_RUNS,
    message:
        "Overlap of what the runs changed"
    script:
        "../scripts/overlap.py"


rule analyze_geometry:
    input:
        **{name: [file.format(name=name) for file in TAIL_FILES] for name in TAILS},
        anatomy=PRODUCTS.get("anatomy", []),
        overlap="results/anatomy/overlap.parquet",
    output:
        **{name: f"results/tables/{name}.tsv" for name in selection.GEOMETRY_TABLES},
        **{name: f"results/tables/tails_{name}.parquet" for name in TAIL_TABLES},
    log:
        "logs/analyze_geometry.log",
    localrule: True
    conda:
        "../../envs/train.yaml"
    resources:
        mem_mb=2000,
    params:
        **BOOTSTRAP,
        arms=list(RECIPES),
    message:
        "Making the tables of spectra and places"
    script:
        "../scripts/analyze_geometry.py"
