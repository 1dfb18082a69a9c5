"""Calibration of the verdicts on made-up studies: `make calibrate`, not part of a study.

Out: results/calibration.tsv, which docs/calibration.tsv is a copy of
"""


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
        effects=40,
    message:
        "Calibrating the verdicts on made-up studies"
    script:
        "../scripts/calibrate.py"
