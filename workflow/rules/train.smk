"""RLVR training.

In:  base model, problems to train on and to probe with.
Out: results/train/{run}/{metrics.tsv, probes.parquet, updates.parquet,
     directions.safetensors, checkpoints/step-*.safetensors}
     and beside them manifest.json: which run it is, and what code made it.
     With `checkpoints: temp` the last go when everything is made of them: `released`.
The trainer's state is in state/{run}, which Snakemake must not manage: it would delete
it with the outputs of a failed job.
"""


rule train:
    input:
        **{split: f"results/prepare/problems/{split}.jsonl" for split in PROBED},
        **READY,
        model="results/prepare/model",
    output:
        metrics="results/train/{run}/metrics.tsv",
        probes="results/train/{run}/probes.parquet",
        updates="results/train/{run}/updates.parquet",
        directions="results/train/{run}/directions.safetensors",
        checkpoints=passing(
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
        nodes=config["launch"]["nodes"],
    params:
        settings=training_settings,
        state="state/{run}",
        steps=EXPORTED,
        splits=PROBED,
    message:
        "Training {wildcards.run}"
    script:
        "../scripts/train.py"


# The state holds the exported bytes, too, so that a start after a partial one finds them.
rule release:
    input:
        made_from,
    output:
        touch("results/train/{run}/released"),
    log:
        "logs/release/{run}.log",
    wildcard_constraints:
        run=only(TRAINED),
    localrule: True
    conda:
        "../../envs/train.yaml"
    params:
        exports="state/{run}/exports",
    message:
        "Releasing the exported weights of {wildcards.run}"
    shell:
        "rm -rf {params.exports} 2> {log}"
