"""Tables with intervals.

In:  metrics, decompositions and item scores of all runs.
Out: results/tables/*.{tsv,parquet}
"""


rule analyze:
    input:
        metrics=collect("results/train/{run}/metrics.tsv", run=RUNS),
        matrices=collect(
            "results/decompose/{run}/step-{step}.matrices.parquet",
            run=RUNS,
            step=STEPS,
        ),
        spectra=collect(
            "results/decompose/{run}/step-{step}.spectra.parquet", run=RUNS, step=STEPS
        ),
        evaluations=[
            "results/evaluate/base/step-0.parquet",
            *collect(
                "results/evaluate/{run}/step-{step}.parquet", run=RUNS, step=STEPS
            ),
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
        **config["analyze"],
    message:
        "Making the tables"
    script:
        "../scripts/analyze.py"
