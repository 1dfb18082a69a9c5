"""RLVR training.

In:  base model, problems to train on and to probe with.
Out: results/train/{run}/{metrics.tsv, probes.parquet, updates.parquet,
     directions.safetensors, checkpoints/step-*.safetensors}
     and beside them manifest.json: which run it is, and what code made it.
     With `checkpoints: temp` the last go when everything is made of them: `released`.
The trainer's state is in state/{run}, which Snakemake must not manage: it would delete
it with the outputs of a failed job.
"""

EXPORTED = selection.exported_steps(RUNS)
INPUT_SPLITS = selection.train_input_splits(STUDY)
# What says that nothing is made of a run's exports any more.
CLEANED_EXPORTS = [
    f"results/train/{run}/released" for run in TRAINED if STUDY.checkpoints == "temp"
]


rule train:
    input:
        **{split: f"results/prepare/problems/{split}.jsonl" for split in INPUT_SPLITS},
        **BENCHMARK_GATE,
        model="results/prepare/model",
    output:
        metrics="results/train/{run}/metrics.tsv",
        probes="results/train/{run}/probes.parquet",
        updates="results/train/{run}/updates.parquet",
        directions="results/train/{run}/directions.safetensors",
        checkpoints=maybe_temp(
            collect(
                "results/train/{{run}}/checkpoints/step-{step}.safetensors",
                step=EXPORTED,
            )
        ),
    log:
        "logs/train/{run}.log",
    benchmark:
        "results/resources/train-{run}.tsv"
    wildcard_constraints:
        run=only(TRAINED),
    conda:
        "../../envs/train.yaml"
    threads: GPU_CORES
    resources:
        mem_mb=memory("train"),
        runtime=minutes("train"),
        gpu=COSTS["train"].gpu,
        nodes=STUDY.launch.nodes,
    params:
        settings=lambda wildcards: settings.training_settings(
            STUDY, config, RUNS[wildcards.run]
        ),
        state="state/{run}",
        steps=EXPORTED,
        splits=INPUT_SPLITS,
    message:
        "Training {wildcards.run}"
    script:
        "../scripts/train.py"


# The state holds the exported bytes, too, so that a start after a partial one finds them.
rule cleanup_exports:
    input:
        lambda wildcards: selection.products_of(wildcards.run, PRODUCTS),
    output:
        touch("results/train/{run}/released"),
    log:
        "logs/cleanup_exports/{run}.log",
    wildcard_constraints:
        run=only(TRAINED),
    localrule: True
    conda:
        "../../envs/train.yaml"
    params:
        exports="state/{run}/exports",
    message:
        "Deleting the exported weights of {wildcards.run}"
    shell:
        "rm -rf {params.exports} 2> {log}"
