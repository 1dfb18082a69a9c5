"""The claims against their nulls, and the calibration of the verdicts.

In:  tables, item scores, docs/calibration.tsv.
Out: results/claims.tsv; results/calibration.tsv (`make calibrate`, no part of a study)
"""


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
        **BOOTSTRAP,
        tables=CLAIM_TABLES,
        arm=list(RECIPES)[0],
    message:
        "Testing the claims"
    script:
        "../scripts/claims.py"


rule calibrate:
    output:
        "results/calibration.tsv",
    log:
        "logs/calibrate.log",
    benchmark:
        "results/resources/calibrate.tsv"
    conda:
        "../../envs/train.yaml"
    threads: ALL_CORES
    resources:
        mem_mb=4000,
    params:
        nulls=200,
        effects=20,
    message:
        "Calibrating the verdicts on made-up studies"
    script:
        "../scripts/calibrate.py"
