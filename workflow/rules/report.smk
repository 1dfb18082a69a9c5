"""The report.

In:  tables, figures, provenance.
Out: results/report.html (self-contained), results/headline.txt
"""


rule record:
    input:
        model="results/prepare/model",
        metrics=rules.analyze.input.metrics,
        evaluations=rules.analyze.input.evaluations,
        imported=[
            f"results/decompose/{run}/step-{step}.factors.safetensors"
            for run in IMPORTED
            for step in RUNS[run].steps
        ],
    output:
        "results/provenance.json",
    log:
        "logs/record.log",
    localrule: True
    conda:
        "../../envs/train.yaml"
    params:
        config={key: v for key, v in config.items() if key != "code_changes"},
    message:
        "Recording what the study was made from"
    script:
        "../scripts/record.py"


rule report:
    input:
        **{name: f"results/tables/{name}.tsv" for name in ALL_TABLES},
        spectra="results/tables/spectra.parquet",
        claims="results/claims.tsv",
        figures=[f"results/figures/{figure.name}.svg" for figure in FIGURES],
        provenance="results/provenance.json",
        template=workflow.source_path("../report/report.html.j2"),
        overview=workflow.source_path("../report/workflow.rst"),
    output:
        page=report(
            "results/report.html",
            caption="../report/workflow.rst",
            category="Report",
            labels={"figure": "the whole report"},
        ),
        headline="results/headline.txt",
    log:
        "logs/report.log",
    localrule: True
    conda:
        "../../envs/report.yaml"
    params:
        runs=(TRAINED, IMPORTED),
    message:
        "Writing the report"
    script:
        "../scripts/report.py"
