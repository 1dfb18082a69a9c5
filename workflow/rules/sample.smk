"""Many answers of the base and of variants, and the KL from the base.

In:  base model, checkpoint, factors, problems.
Out: results/sample/{run}/step-{step}.parquet, one row an answer
     results/sample/{run}/step-{step}.kl.parquet, one row per variant and base answer
"""


rule sample:
    input:
        unpack(step_inputs),
        model="results/prepare/model",
        problems=f"results/prepare/problems/{STUDY.sample.split}.jsonl",
    output:
        answers="results/sample/{run}/step-{step}.parquet",
        kl="results/sample/{run}/step-{step}.kl.parquet",
    log:
        "logs/sample/{run}-step-{step}.log",
    benchmark:
        "results/resources/sample-{run}-step-{step}.tsv"
    conda:
        "../../envs/evaluate.yaml"
    threads: GPU_CORES
    resources:
        mem_mb=memory("sample"),
        runtime=minutes("sample"),
        gpu=COSTS["sample"].gpu,
    params:
        variants=variants_at(config["sample"]["variants"]),
        settings=settings.sample_settings(STUDY, config),
    message:
        "Sampling answers of {wildcards.run} at step {wildcards.step}"
    script:
        "../scripts/sample.py"
