"""Tables with intervals.

In:  metrics, decompositions, item scores and sampled answers of all runs.
Out: results/tables/*.{tsv,parquet}
"""

RECIPES = selection.intervention_recipes(STUDY)
TABLES = selection.analysis_tables(RUNS)


rule analyze:
    input:
        metrics=collect("results/train/{run}/metrics.tsv", run=TRAINED),
        probes=collect("results/train/{run}/probes.parquet", run=TRAINED),
        updates=collect("results/train/{run}/updates.parquet", run=TRAINED),
        matrices=evaluated("results/decompose/{run}/step-{step}.matrices.parquet"),
        spectra=evaluated("results/decompose/{run}/step-{step}.spectra.parquet"),
        evaluations=[
            "results/evaluate/base/step-0.parquet",
            *PRODUCTS["evaluate"],
        ],
    output:
        **{name: f"results/tables/{name}.tsv" for name in TABLES},
        spectra="results/tables/spectra.parquet",
    log:
        "logs/analyze.log",
    benchmark:
        "results/resources/analyze.tsv"
    localrule: True
    conda:
        "../../envs/report.yaml"
    resources:
        mem_mb=2000,
    params:
        **BOOTSTRAP,
        arms=RECIPES,
    message:
        "Making the tables"
    script:
        "../scripts/analyze.py"


rule analyze_samples:
    input:
        answers=sampled("results/sample/{run}/step-{step}.parquet"),
        kl=sampled("results/sample/{run}/step-{step}.kl.parquet"),
    output:
        **{name: f"results/tables/{name}.tsv" for name in selection.SAMPLE_TABLES},
    log:
        "logs/analyze_samples.log",
    localrule: True
    conda:
        "../../envs/report.yaml"
    resources:
        mem_mb=2000,
    params:
        **BOOTSTRAP,
        arms=list(RECIPES),
    message:
        "Making the tables of sampled answers"
    script:
        "../scripts/analyze_samples.py"


rule analyze_knowledge:
    input:
        evaluations=sampled("results/evaluate/{run}/step-{step}.parquet"),
        kl="results/tables/kl.tsv",
    output:
        **{name: f"results/tables/{name}.tsv" for name in selection.KNOWLEDGE_TABLES},
    log:
        "logs/analyze_knowledge.log",
    localrule: True
    conda:
        "../../envs/report.yaml"
    resources:
        mem_mb=2000,
    params:
        **BOOTSTRAP,
        margin=config["analyze"]["margin"],
        arms=RECIPES,
    message:
        "Making the tables of knowledge"
    script:
        "../scripts/analyze_knowledge.py"
