"""Tables with intervals.

In:  metrics, decompositions and item scores of all runs.
Out: results/tables/*.{tsv,parquet}
"""


rule analyze:
    input:
        metrics=collect("results/train/{run}/metrics.tsv", run=RUNS),
        probes=collect("results/train/{run}/probes.parquet", run=RUNS),
        updates=collect("results/train/{run}/updates.parquet", run=RUNS),
        matrices=examined("results/decompose/{run}/step-{step}.matrices.parquet"),
        spectra=examined("results/decompose/{run}/step-{step}.spectra.parquet"),
        evaluations=[
            "results/evaluate/base/step-0.parquet",
            *examined("results/evaluate/{run}/step-{step}.parquet"),
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
        draws=config["analyze"]["draws"],
        seed=config["analyze"]["seed"],
        arms={name: recipe(arm) for name, arm in config["arms"].items()},
    message:
        "Making the tables"
    script:
        "../scripts/analyze.py"


rule claims:
    input:
        **{name: f"results/tables/{name}.tsv" for name in CLAIM_TABLES},
        evaluations=rules.analyze.input.evaluations,
        calibration=workflow.source_path("../../docs/calibration.tsv"),
    output:
        "results/claims.tsv",
    log:
        "logs/claims.log",
    localrule: True
    conda:
        "../../envs/report.yaml"
    resources:
        mem_mb=2000,
    params:
        tables=CLAIM_TABLES,
        arm=next(iter(config["arms"])),
        draws=config["analyze"]["draws"],
        seed=config["analyze"]["seed"],
    message:
        "Testing the claims"
    script:
        "../scripts/claims.py"
