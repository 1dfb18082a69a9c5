"""Benchmarks of the base and of every variant, with lm-eval.

In:  base model, checkpoint, factors, problems and benchmark items.
Out: results/evaluate/{run}/step-{step}.parquet, one row per item and variant
"""


rule evaluate:
    input:
        unpack(trained),
        **READY,
        model="results/prepare/model",
        data=prepared,
    output:
        "results/evaluate/{run}/step-{step}.parquet",
    log:
        "logs/evaluate/{run}-step-{step}.log",
    benchmark:
        "results/resources/evaluate-{run}-step-{step}.tsv"
    conda:
        "../../envs/evaluate.yaml"
    threads: GPU_CORES
    resources:
        mem_mb=memory("evaluate"),
        runtime=minutes("evaluate"),
        gpu=COSTS["evaluate"].gpu,
    params:
        variants=variants,
        settings=evaluation_settings(),
    message:
        "Benchmarking {wildcards.run} at step {wildcards.step}"
    script:
        "../scripts/evaluate_variants.py"
