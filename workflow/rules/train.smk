"""RLVR training.

In:  base model, training problems.
Out: results/train/{run}/{metrics.tsv, checkpoints/step-*.safetensors}
The trainer's state is in state/{run}, which Snakemake must not manage: it would delete
it with the outputs of a failed job.
"""


rule train:
    input:
        model="results/prepare/model",
        problems="results/prepare/problems/train.jsonl",
    output:
        metrics="results/train/{run}/metrics.tsv",
        checkpoints=collect(
            "results/train/{{run}}/checkpoints/step-{step}.safetensors", step=STEPS
        ),
    log:
        "logs/train/{run}.log",
    benchmark:
        "results/resources/train-{run}.tsv"
    conda:
        "../../envs/train.yaml"
    threads: ALL_CORES
    resources:
        mem_mb=12000,
    params:
        settings=training_settings,
        state="state/{run}",
        steps=STEPS,
    message:
        "Training {wildcards.run}"
    script:
        "../scripts/train.py"
