"""Figures, each from its tables alone.

In:  results/tables/*
Out: results/figures/*.{svg,pdf,png}
"""

FIGURES = {
    "claims": ("claims.tsv", "Claims"),
    "accuracy_by_variant": ("scores.tsv", "Scores"),
    "recovery": ("recovery.tsv", "Scores"),
    "mathematics_vs_knowledge": ("differences.tsv", "Scores"),
    **({"training": ("training.tsv", "Training")} if TRAINED else {}),
    "accuracy_by_step": ("scores.tsv", "Training"),
    "rank1_share": ("matrices.tsv", "Updates"),
    "spectra": ("spectra.parquet", "Updates"),
}
if "samples" in ANALYSED:
    FIGURES |= {
        "pass_at_k": ("pass_at_k.tsv pass_null.tsv", "Sampling"),
        "retention": ("retention.tsv", "Knowledge"),
        "forgetting": ("forgetting.tsv forgetting_curve.tsv", "Knowledge"),
    }
if "geometry" in ANALYSED:
    FIGURES |= {
        "heavy_tails": ("tails_matrices.parquet", "Updates"),
        "tail_curves": ("tails_curves.parquet", "Updates"),
    }
if "trajectories" in ANALYSED:
    FIGURES |= {
        "alignment": ("alignment.tsv", "Updates"),
        "alignment_contrast": ("alignment_contrast.tsv", "Updates"),
        "trajectory": ("trajectory_matrices.parquet", "Updates"),
    }
if any(run.intervention for run in RUNS.values()):
    FIGURES |= {
        "overfitting": ("overfitting.tsv", "Interventions"),
        "probes": ("probes.tsv", "Interventions"),
        "reward_curves": ("probes.tsv", "Interventions"),
        "substitutions": ("substitutions.tsv", "Interventions"),
    }

# One rule a figure: a report caption cannot have wildcards.
for figure, (tables, category) in FIGURES.items():

    rule:
        name:
            f"plot_{figure}"
        input:
            tables=[table_path(name) for name in tables.split()],
        output:
            report(
                f"results/figures/{figure}.svg",
                caption=f"../report/{figure}.rst",
                category=category,
                labels={"figure": figure.replace("_", " ")},
            ),
            f"results/figures/{figure}.pdf",
            f"results/figures/{figure}.png",
        log:
            f"logs/plot/{figure}.log",
        localrule: True
        conda:
            "../../envs/report.yaml"
        resources:
            mem_mb=2000,
        params:
            figure=figure,
        message:
            f"Drawing {figure.replace('_', ' ')}"
        script:
            "../scripts/plot.py"
