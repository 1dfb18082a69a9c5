"""What a study is about to do and what that costs, for the Snakefile.

`runs` are the runs of `config` by name.
"""

from collections.abc import Iterable
from pathlib import Path

from rankone.errors import UserError
from rankone.names import BASE
from rankone.study import estimates
from rankone.study.config import Config
from rankone.study.disk import GIGABYTE, disk_needed
from rankone.study.estimates import Cost
from rankone.study.selection import (
    Runs,
    exported_steps,
    imported_runs,
    trained_runs,
    variants_at,
)


def work(config: Config, runs: Runs, rule: str, run: str = BASE, step: int = 0) -> int:
    """The work of a job in units of its rule's cost; 0 for rules without a unit."""
    if rule == "train":
        return estimates.measurements(config, runs[run].intervention)
    if rule == "evaluate":
        return len(variants_at(config.variants, runs, run, step))
    if rule == "sample":
        return len(variants_at(config.sample.variants, runs, run, step))
    if rule == "tails":
        return int(run != BASE)
    return len(runs[run].steps) if rule == "trajectory" else 0


def job_work(config: Config, runs: Runs, rule: str, wildcards: dict) -> int:
    """The same for a job's wildcards."""
    run, step = wildcards.get("run", BASE), int(wildcards.get("step", 0))
    return work(config, runs, rule, run, step)


def workload(
    config: Config, runs: Runs, jobs: Iterable[tuple[str, dict]], costs: dict[str, Cost]
) -> dict[str, list[int]]:
    """The work of every job of the heavy rules, by rule.

    `jobs` are names of rules and wildcards.
    """
    found: dict[str, list[int]] = {}
    for rule, wildcards in jobs:
        if rule in costs:
            amount = job_work(config, runs, rule, wildcards)
            found.setdefault(rule, []).append(amount)
    return found


def check_gpus(costs: dict[str, Cost], given: int | None) -> None:
    """Raise UserError where Snakemake would give a job fewer GPUs than it asks for.

    `given` is the limit of `--resources gpu=N`; None without one.
    """
    most = max(cost.gpu for cost in costs.values())
    if given and given < most:
        raise UserError(
            f"--resources gpu={given}, but a job of this study asks for {most} GPUs "
            "(launch.processes); give as many or change the config."
        )


def share_of_cores(cores: int, jobs: int, most: int) -> int:
    """Cores of each of so many jobs side by side, at least one."""
    return max(1, min(most, cores // jobs))


def plan_text(
    config: Config, runs: Runs, costs: dict[str, Cost], work: dict[str, list[int]]
) -> str:
    """What is about to happen and what it costs, in a few lines."""
    return (
        f"Study {config.study}: {runs_text(config, runs)} ({len(config.arms)} "
        f"arms); {len(config.variants)} variants, {len(config.benchmarks)} "
        f"benchmarks.\n{estimates.summary(costs, work, totals(config, runs))}"
        "Logs: logs/. Stop with Ctrl-C; the same command goes on."
    )


def runs_text(config: Config, runs: Runs) -> str:
    """Runs that are trained here, and imported ones, in words."""
    trained, imported = trained_runs(runs), imported_runs(runs)
    parts = []
    if trained:
        steps = ", ".join(map(str, exported_steps(runs)))
        length = config.schedule.max_steps
        parts.append(f"{len(trained)} runs of {length} steps, exported at {steps}")
    if imported:
        count = sum(len(runs[run].steps) for run in imported)
        parts.append(f"{len(imported)} imported runs with {count} checkpoints")
    return "; ".join(parts)


def totals(config: Config, runs: Runs) -> dict[str, float]:
    """Speed (TFLOP/s), memory of a training's GPUs and disk of a whole study (GB)."""
    peak, kept = disk_needed(config)
    return {
        "peak": peak / GIGABYTE,
        "kept": kept / GIGABYTE,
        "tflops": config.hardware.tflops,
        "gpu": estimates.gpu_mb(config) / 1e3 if trained_runs(runs) else 0,
    }


def final_message(headline: Path, page: Path) -> str:
    """The headline and where the page is; less where a target made neither."""
    if not headline.exists():
        return "Done."
    return f"{headline.read_text()}\nReport: {page.resolve()}"
