"""Checkpoints that were trained elsewhere, as files like those of a training.

In:  base model; local folders, or repositories on a hub.
Out: results/train/{run}/checkpoints/step-{step}.safetensors
What the user gave is read, never changed. A download goes when it is converted.
"""


rule download_checkpoint:
    output:
        temp(directory("results/train/{run}/downloads/step-{step}")),
    log:
        "logs/download_checkpoint/{run}-step-{step}.log",
    wildcard_constraints:
        run=only(IMPORTED),
    priority: 100
    localrule: True
    conda:
        "../../envs/prepare.yaml"
    params:
        source=source,
        state="state/{run}/downloads/step-{step}",
    message:
        "Downloading step {wildcards.step} of {wildcards.run}"
    script:
        "../scripts/download_checkpoint.py"


# Before any training: what does not fit shall not be found out hours later.
rule import_checkpoint:
    input:
        source_files,
        model="results/prepare/model",
    output:
        maybe_temp("results/train/{run}/checkpoints/step-{step}.safetensors"),
    log:
        "logs/import_checkpoint/{run}-step-{step}.log",
    benchmark:
        "results/resources/import_checkpoint-{run}-step-{step}.tsv"
    wildcard_constraints:
        run=only(IMPORTED),
    priority: 100
    conda:
        "../../envs/train.yaml"
    threads: 2
    resources:
        mem_mb=memory("import_checkpoint"),
        runtime=minutes("import_checkpoint"),
    params:
        source=source,
        folder=source_folder,
        settings=config["model"],
    message:
        "Importing step {wildcards.step} of {wildcards.run}"
    script:
        "../scripts/import_checkpoint.py"
