"""Which runs, steps, variants, tables and files a study has.

`runs` are the runs of `config` by name (rankone.study.runs.expand). A checkpoint is
named by its run and its step.
"""

from collections.abc import Iterable

from rankone.data.benchmark import BENCHMARKS
from rankone.evaluation.settings import Benchmark
from rankone.names import BASE, FULL
from rankone.study.config import Config
from rankone.study.runs import Run

Runs = dict[str, Run]
Checkpoint = tuple[str, int]

SPLITS = ["train", "train_probe", "held_out", "shifted"]
# What only training gives.
TRAINING_TABLES = ["training", "probes", "overfitting", "substitutions"]
SCORE_TABLES = ["scores", "differences", "recovery", "matrices"]
SAMPLE_TABLES = [
    *("pass_at_k", "pass_null", "efficiency", "solvable", "perplexity", "kl"),
]
KNOWLEDGE_TABLES = ["retention", "forgetting", "forgetting_curve"]
GEOMETRY_TABLES = ["tails", "fits", "anatomy", "overlap"]
ALIGNMENT_TABLES = ["alignment", "alignment_contrast", "subspaces", "trajectory"]
# What may be analysed beyond scores and rewards, with its tables.
ANALYSES = {
    "samples": [*SAMPLE_TABLES, *KNOWLEDGE_TABLES],
    "geometry": GEOMETRY_TABLES,
    "trajectories": ALIGNMENT_TABLES,
}
# The tables that a study may have.
KNOWN_TABLES = [*SCORE_TABLES, *TRAINING_TABLES, *sum(ANALYSES.values(), [])]


def trained_runs(runs: Runs) -> list[str]:
    """Runs that are trained here."""
    return [name for name, run in runs.items() if run.trained]


def imported_runs(runs: Runs) -> list[str]:
    """Runs that were trained elsewhere."""
    return [name for name, run in runs.items() if not run.trained]


def unmodified_runs(runs: Runs) -> list[str]:
    """Runs without an intervention, whose whole spectra are analysed."""
    return [name for name, run in runs.items() if not run.intervention]


def followed_runs(runs: Runs) -> list[str]:
    """Runs with a trajectory: with `reference: last` updates start anew each time."""
    return [
        name
        for name, run in runs.items()
        if not (run.intervention and run.intervention.reference == "last")
    ]


def exported_steps(runs: Runs) -> list[int]:
    """The steps of every run that is trained here."""
    return next((run.steps for run in runs.values() if run.trained), [])


def evaluated_steps(runs: Runs) -> list[Checkpoint]:
    """What is decomposed and benchmarked.

    Every step of a run without an intervention, the last one of the others.
    """
    return [
        (name, step)
        for name, run in runs.items()
        for step in (run.steps[-1:] if run.intervention else run.steps)
    ]


def last_steps(runs: Runs, names: Iterable[str] | None = None) -> list[Checkpoint]:
    """The last step of each of these runs, or of all."""
    return [(name, runs[name].steps[-1]) for name in (runs if names is None else names)]


def sampled_steps(runs: Runs) -> list[Checkpoint]:
    """Where answers are sampled: the base, and the last step of every run."""
    return [(BASE, 0), *last_steps(runs)]


def variants_at(names: list[str], runs: Runs, run: str, step: int) -> list[str]:
    """All of these at the last step of a run without an intervention, else `full`."""
    if run == BASE:
        return [BASE]
    whole = step == runs[run].steps[-1] and not runs[run].intervention
    return names if whole else [FULL]


def previous_step(config: Config, run: Run, step: int) -> int | None:
    """The step before, if local updates are asked for and there is one."""
    index = run.steps.index(step)
    wanted = index > 0 and "local" in config.decompose.updates
    return run.steps[index - 1] if wanted else None


def train_input_splits(config: Config) -> list[str]:
    """Problem sets that a training reads."""
    return list(dict.fromkeys(["train", *config.probes.splits]))


def hub_benchmarks(config: Config) -> dict[str, Benchmark]:
    """Benchmarks of lm-eval itself, with data from the hub."""
    return {name: b for name, b in config.benchmarks.items() if b.hub}


def packaged_benchmarks(config: Config) -> list[str]:
    """Benchmarks whose items come out of a package's file."""
    return [name for name in config.benchmarks if name in BENCHMARKS]


def analyses(config: Config) -> list[str]:
    """What is analysed beyond scores and rewards, in the order of ANALYSES."""
    return [name for name in ANALYSES if name in config.analyze.parts]


def analysis_tables(runs: Runs) -> list[str]:
    """The tables of scores and of rewards."""
    return [*SCORE_TABLES, *(TRAINING_TABLES if trained_runs(runs) else [])]


def all_tables(config: Config, runs: Runs) -> list[str]:
    """The tables of a study; claims and the page read those that they need."""
    further = [table for name in analyses(config) for table in ANALYSES[name]]
    return [*analysis_tables(runs), *further]


def intervention_recipes(config: Config) -> dict[str, str | None]:
    """The recipe of each arm's intervention; None for an arm without one."""
    return {
        name: arm.intervention.recipe if arm.intervention else None
        for name, arm in config.arms.items()
    }


def artefacts(kind: str, variants: list[str], runs: Runs) -> list[str]:
    """Folders of variants as files of a kind, at the last step of every run."""
    return [
        f"results/{kind}/{run}/step-{step}/{variant}"
        for variant in variants
        for run, step in last_steps(runs)
    ]


def files(pattern: str, checkpoints: Iterable[Checkpoint]) -> list[str]:
    """A pattern with the `{run}` and the `{step}` of each of these checkpoints."""
    return [pattern.format(run=run, step=step) for run, step in checkpoints]


def products(config: Config, runs: Runs) -> dict[str, list[str]]:
    """What a study makes from the weights of one run at a time, by the rule.

    The rules that come after take their input from here; weights that are temporary
    stay until all of it is made.
    """
    evaluated, wanted = evaluated_steps(runs), analyses(config)
    last = last_steps(runs, unmodified_runs(runs))
    made = {
        "decompose": files(
            "results/decompose/{run}/step-{step}.factors.safetensors", evaluated
        ),
        "evaluate": files("results/evaluate/{run}/step-{step}.parquet", evaluated),
        "write_adapter": artefacts("adapters", config.artefacts.adapters, runs),
        "write_merged": artefacts("models", config.artefacts.models, runs),
    }
    if "samples" in wanted:
        sample = "results/sample/{run}/step-{step}.parquet"
        made["sample"] = files(sample, last_steps(runs))
    if "geometry" in wanted:
        made["tails"] = files("results/tails/{run}/step-{step}.values.parquet", last)
        made["anatomy"] = files("results/anatomy/{run}/step-{step}.parquet", last)
    if "trajectories" in wanted:
        followed = last_steps(runs, followed_runs(runs))
        made["trajectory"] = files("results/trajectory/{run}.parquet", followed)
    return made


def products_of(run: str, made: dict[str, list[str]]) -> list[str]:
    """Those of `products` that are made from the weights of one run."""
    return [
        file
        for files in made.values()
        for file in files
        if run in file.removesuffix(".parquet").split("/")
    ]
