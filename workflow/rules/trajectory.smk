"""Updates over time: their trajectories, and the alignment of their first directions.

In:  base model, exported checkpoints and measured directions of all runs.
Out: results/trajectory/{run}.parquet (one row per matrix and statistic),
     results/trajectory/{run}.gram.parquet (inner products of the updates),
     results/trajectory/{run}.shuffled.parquet (alignment with steps in random order),
     results/tables/{alignment, alignment_contrast, subspaces, trajectory}.tsv,
     results/tables/{alignment_pairs, trajectory_matrices}.parquet
"""

FOLLOWED = selection.followed_runs(RUNS)
# Training measures directions at more steps than are exported.
MEASURED = [run for run in FOLLOWED if run in TRAINED]


rule trajectory:
    input:
        model="results/prepare/model",
        checkpoints=lambda wildcards: [
            checkpoint(wildcards.run, step) for step in RUNS[wildcards.run].steps
        ],
    output:
        matrices="results/trajectory/{run}.parquet",
        grams="results/trajectory/{run}.gram.parquet",
        shuffled="results/trajectory/{run}.shuffled.parquet",
    log:
        "logs/trajectory/{run}.log",
    benchmark:
        "results/resources/trajectory-{run}.tsv"
    conda:
        "../../envs/train.yaml"
    threads: HALF_THE_CORES
    resources:
        mem_mb=memory("trajectory"),
        runtime=minutes("trajectory"),
    params:
        steps=lambda wildcards: RUNS[wildcards.run].steps,
        draws=config["analyze"]["null_draws"],
        seed=config["analyze"]["seed"],
    message:
        "Following the updates of {wildcards.run}"
    script:
        "../scripts/trajectory.py"


rule analyze_alignment:
    input:
        directions=collect("results/train/{run}/directions.safetensors", run=MEASURED),
        matrices=PRODUCTS.get("trajectory", []),
        grams=collect("results/trajectory/{run}.gram.parquet", run=FOLLOWED),
        shuffled=collect("results/trajectory/{run}.shuffled.parquet", run=FOLLOWED),
        factors=[
            f"results/decompose/{run}/step-{step}.factors.safetensors"
            for run in UNMODIFIED_RUNS
            for step in RUNS[run].steps
        ],
    output:
        **{name: f"results/tables/{name}.tsv" for name in selection.ALIGNMENT_TABLES},
        alignment_pairs="results/tables/alignment_pairs.parquet",
        trajectory_matrices="results/tables/trajectory_matrices.parquet",
    log:
        "logs/analyze_alignment.log",
    benchmark:
        "results/resources/analyze_alignment.tsv"
    conda:
        "../../envs/train.yaml"
    threads: ALL_CORES
    resources:
        mem_mb=memory("analyze_alignment"),
        runtime=minutes("analyze_alignment"),
    params:
        **BOOTSTRAP,
        null_draws=config["analyze"]["null_draws"],
        runs=FOLLOWED,
        measured=MEASURED,
        decomposed={run: RUNS[run].steps for run in UNMODIFIED_RUNS},
        arms=list(config["arms"]),
    message:
        "Comparing the directions of all updates"
    script:
        "../scripts/analyze_alignment.py"
