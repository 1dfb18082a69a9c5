"""The claims against their nulls, and the calibration of the verdicts.

In:  tables, item scores, workflow/resources/calibration.tsv.
Out: results/claims.tsv; results/calibration/{claim}.tsv (`make calibrate`, no part of a
     study; `missing` stands for all claims that are not calibrated as they are)
"""

CALIBRATION = workflow.source_path("../resources/calibration.tsv")
# Of any study, and of this one. A claim asks for the ones that it needs.
ANALYSIS_TABLES = {
    "samples": [*SAMPLE_TABLES, *KNOWLEDGE_TABLES],
    "geometry": GEOMETRY_TABLES,
    "trajectories": ALIGNMENT_TABLES,
}
KNOWN_TABLES = [
    *("scores", "differences", "recovery", "matrices", *TRAINING_TABLES),
    *(name for names in ANALYSIS_TABLES.values() for name in names),
]
MADE_TABLES = [*TABLES, *(n for part in ANALYSED for n in ANALYSIS_TABLES[part])]


def rules_of_claims(wildcards):
    """What each calibration depends on: any change of it makes the rule run again."""
    from rankone.claims.calibration import identities

    return identities()


rule claims:
    input:
        **{name: f"results/tables/{name}.tsv" for name in MADE_TABLES},
        evaluations=rules.analyze.input.evaluations,
        calibration=CALIBRATION,
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
        tables=MADE_TABLES,
        known=KNOWN_TABLES,
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


rule plot_calibration:
    input:
        tables=[CALIBRATION],
    output:
        "results/figures/{figure}.png",
    log:
        "logs/plot/{figure}.log",
    wildcard_constraints:
        figure="calibration|power",
    localrule: True
    conda:
        "../../envs/report.yaml"
    resources:
        mem_mb=2000,
    params:
        figure="{figure}",
    message:
        "Drawing {wildcards.figure}"
    script:
        "../scripts/plot.py"
