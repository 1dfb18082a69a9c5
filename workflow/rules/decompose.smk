"""SVD of every update.

In:  base model, one exported checkpoint.
Out: results/decompose/{run}/step-{step}.{factors.safetensors, matrices.parquet,
     spectra.parquet}
"""


rule decompose:
    input:
        model="results/prepare/model",
        checkpoint="results/train/{run}/checkpoints/step-{step}.safetensors",
    output:
        factors="results/decompose/{run}/step-{step}.factors.safetensors",
        matrices="results/decompose/{run}/step-{step}.matrices.parquet",
        spectra="results/decompose/{run}/step-{step}.spectra.parquet",
    log:
        "logs/decompose/{run}-step-{step}.log",
    benchmark:
        "results/resources/decompose-{run}-step-{step}.tsv"
    conda:
        "../../envs/train.yaml"
    threads: ALL_CORES
    resources:
        mem_mb=4000,
    params:
        rank=config["decompose"]["rank"],
    message:
        "Decomposing the updates of {wildcards.run} at step {wildcards.step}"
    script:
        "../scripts/decompose.py"
