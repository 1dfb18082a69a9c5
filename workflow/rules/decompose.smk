"""SVD of every update.

In:  base model, one exported checkpoint, the one before it for local updates.
Out: results/decompose/{run}/step-{step}.{factors.safetensors, matrices.parquet,
     triplets.parquet, spectra.parquet}
"""


rule decompose:
    input:
        unpack(previous),
        model="results/prepare/model",
        checkpoint="results/train/{run}/checkpoints/step-{step}.safetensors",
    output:
        factors="results/decompose/{run}/step-{step}.factors.safetensors",
        matrices="results/decompose/{run}/step-{step}.matrices.parquet",
        triplets="results/decompose/{run}/step-{step}.triplets.parquet",
        spectra="results/decompose/{run}/step-{step}.spectra.parquet",
    log:
        "logs/decompose/{run}-step-{step}.log",
    benchmark:
        "results/resources/decompose-{run}-step-{step}.tsv"
    conda:
        "../../envs/train.yaml"
    threads: ALL_CORES
    resources:
        mem_mb=memory("decompose"),
        runtime=minutes("decompose"),
    params:
        settings=config["decompose"],
    message:
        "Decomposing the updates of {wildcards.run} at step {wildcards.step}"
    script:
        "../scripts/decompose.py"
