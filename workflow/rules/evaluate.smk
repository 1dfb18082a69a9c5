"""Benchmarks of the base and of every variant, with lm-eval.

In:  base model, checkpoint, factors, problems and benchmark items.
Out: results/evaluate/{run}/step-{step}.parquet, one row per item and variant
"""

# Problem sets and benchmark items that the study's tasks read.
EVALUATION_DATA = [
    *collect("results/prepare/problems/{split}.jsonl", split=selection.SPLITS),
    *collect("results/prepare/benchmarks/{name}.jsonl", name=PACKAGED_BENCHMARKS),
    *(hub_folder("datasets", b) for b in HUB_BENCHMARKS.values()),
]


rule evaluate:
    input:
        unpack(step_inputs),
        **BENCHMARK_GATE,
        model="results/prepare/model",
        data=EVALUATION_DATA,
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
        variants=variants_at(config["variants"]),
        settings=settings.evaluation_settings(STUDY, config),
    message:
        "Benchmarking {wildcards.run} at step {wildcards.step}"
    script:
        "../scripts/evaluate_variants.py"
