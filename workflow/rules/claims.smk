"""The claims against their nulls, and the calibration of the verdicts.

In:  tables, item scores, workflow/resources/calibration.tsv.
Out: results/claims.tsv; results/calibration/{claim}.tsv (`make calibrate`; of a study
     with plugins alone, whose claims may not be calibrated yet: `missing` stands for
     all that are not)
"""

CALIBRATION = workflow.source_path("../resources/calibration.tsv")


rule claims:
    input:
        **{name: f"results/tables/{name}.tsv" for name in ALL_TABLES},
        evaluations=rules.analyze.input.evaluations,
        calibration=(
            "results/calibration/missing.tsv" if config["plugins"] else CALIBRATION
        ),
        provenance="results/provenance.json",
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
        tables=ALL_TABLES,
        known=selection.KNOWN_TABLES,
        arm=list(RECIPES)[0],
    message:
        "Testing the claims"
    script:
        "../scripts/claims.py"


rule calibrate:
    input:
        known=CALIBRATION,
    output:
        "results/calibration/{claim}.tsv",
    log:
        "logs/calibrate/{claim}.log",
    benchmark:
        "results/resources/calibrate/{claim}.tsv"
    wildcard_constraints:
        claim=r"\w+",
    conda:
        "../../envs/train.yaml"
    threads: ALL_CORES
    resources:
        mem_mb=4000,
    params:
        claim=lambda wildcards: "" if wildcards.claim == "missing" else wildcards.claim,
        nulls=200,
        effects=20,
        rules=rules_of_claims,
    message:
        "Calibrating the verdicts on simulated studies: {wildcards.claim}"
    script:
        "../scripts/calibrate.py"
