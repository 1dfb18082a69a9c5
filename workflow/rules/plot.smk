"""Figures, each from its tables alone.

In:  results/tables/*; workflow/resources/calibration.tsv
Out: results/figures/*.{svg,pdf,png}
"""

from rankone.report.figure import figures_of

# What the study has.
PRESENT = {
    "scores",
    *ANALYSED,
    *(["training"] if TRAINED else []),
    *(["interventions"] if any(run.intervention for run in RUNS.values()) else []),
}
FIGURES = figures_of(PRESENT)

# One rule a figure, so that a plan names each.
for figure in FIGURES:

    rule:
        name:
            f"plot_{figure.name}"
        input:
            tables=[table_path(name) for name in figure.tables],
        output:
            report(
                f"results/figures/{figure.name}.svg",
                caption="../report/figure.rst",
                category=figure.category,
                labels={"figure": figure.title},
            ),
            f"results/figures/{figure.name}.pdf",
            f"results/figures/{figure.name}.png",
        log:
            f"logs/plot/{figure.name}.log",
        localrule: True
        conda:
            "../../envs/report.yaml"
        resources:
            mem_mb=2000,
        params:
            figure=figure.name,
            caption=figure.caption,
        message:
            f"Drawing {figure.title}"
        script:
            "../scripts/plot.py"


rule plot_calibration:
    input:
        tables=[CALIBRATION],
    output:
        "results/figures/{figure}.png",
    log:
        "logs/plot/{figure}.log",
    wildcard_constraints:
        figure="|".join(figure.name for figure in figures_of({"calibration"})),
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
