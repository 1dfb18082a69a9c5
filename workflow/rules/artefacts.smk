"""Variants as files, on request: LoRA adapters and merged models.

In:  base model, checkpoint, factors.
Out: results/adapters/{run}/step-{step}/{variant}/ (PEFT, vLLM)
     results/models/{run}/step-{step}/{variant}/ (Hugging Face)
Any variant at any exported step can be asked for by its folder.
"""

ARTEFACT_SETTINGS = settings.artefact_settings(STUDY, config)
# What the study asks for: at the last exported step of every run.
ARTEFACTS = PRODUCTS["write_adapter"] + PRODUCTS["write_merged"]


rule write_adapter:
    input:
        unpack(step_inputs),
        model="results/prepare/model",
    output:
        directory("results/adapters/{run}/step-{step}/{variant}"),
    log:
        "logs/write_adapter/{run}-step-{step}-{variant}.log",
    wildcard_constraints:
        run="|".join(RUNS),
        variant=r"[\w.+-]+",
    conda:
        "../../envs/train.yaml"
    threads: 2
    resources:
        mem_mb=memory("write_adapter"),
        runtime=minutes("write_adapter"),
    params:
        artefact="adapter",
        settings=ARTEFACT_SETTINGS,
    message:
        "Writing {wildcards.variant} of {wildcards.run} as an adapter"
    script:
        "../scripts/export_variant.py"


rule write_merged:
    input:
        unpack(step_inputs),
        model="results/prepare/model",
    output:
        directory("results/models/{run}/step-{step}/{variant}"),
    log:
        "logs/write_merged/{run}-step-{step}-{variant}.log",
    wildcard_constraints:
        run="|".join(RUNS),
        variant=r"[\w.+-]+",
    conda:
        "../../envs/train.yaml"
    threads: 2
    resources:
        mem_mb=memory("write_merged"),
        runtime=minutes("write_merged"),
    params:
        artefact="model",
        settings=ARTEFACT_SETTINGS,
    message:
        "Writing {wildcards.variant} of {wildcards.run} as a model"
    script:
        "../scripts/export_variant.py"
