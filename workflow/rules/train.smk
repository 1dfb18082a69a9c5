"""RLVR training.

In:  base model, problems to train on and to probe with.
Out: results/train/{run}/{metrics.tsv, probes.parquet, updates.parquet,
     directions.safetensors, checkpoints/step-*.safetensors}
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
        checkpoints=collect(
            "results/train/{{run}}/checkpoints/step-{step}.safetensors", step=STEPS
        ),
    log:
        "logs/train/{run}.log",
    benchmark:
        "results/resources/train-{run}.tsv"
    conda:
        "../../envs/train.yaml"
    threads: GPU_CORES
    resources:
        mem_mb=memory("train"),
        runtime=minutes("train"),
        gpu=COSTS["train"].gpu,
    params:
        settings=training_settings,
        state="state/{run}",
        steps=STEPS,
        splits=PROBED,
    message:
        "Training {wildcards.run}"
    script:
        "../scripts/train.py"
