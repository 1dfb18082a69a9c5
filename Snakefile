"""Rankone: what RLVR does to a model's weights, and which part carries the gain."""

from snakemake.utils import min_version

min_version("9.25")


configfile: "config/config.yaml"


report: "workflow/report/workflow.rst"


# Limits on GPUs hold for one machine; a cluster runs as many GPU jobs as it can.
resource_scopes:
    gpu="local",


include: "workflow/rules/common.smk"
include: "workflow/rules/inputs.smk"
include: "workflow/rules/prepare.smk"
include: "workflow/rules/train.smk"
include: "workflow/rules/import.smk"
include: "workflow/rules/decompose.smk"
include: "workflow/rules/evaluate.smk"
include: "workflow/rules/sample.smk"
include: "workflow/rules/artefacts.smk"
include: "workflow/rules/analyze.smk"
include: "workflow/rules/geometry.smk"
include: "workflow/rules/trajectory.smk"
include: "workflow/rules/claims.smk"
include: "workflow/rules/plot.smk"
include: "workflow/rules/report.smk"
include: "workflow/rules/handlers.smk"


rule all:
    default_target: True
    input:
        "results/report.html",
        ARTEFACTS,
        CLEANED_EXPORTS,


onstart:
    refuse(own_folder)
    refuse(check_pinned, STUDY)
    refuse(check_room, STUDY)
    print_plan()


onsuccess:
    print(plan.final_message(Path("results/headline.txt"), Path("results/report.html")))


onerror:
    print("Stopped. The log of each rule is in logs/; run the same command to go on.")
