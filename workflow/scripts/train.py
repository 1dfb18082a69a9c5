"""Train one run with RLVR, measure it, and export its checkpoints."""

from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from rankone.runtime.device import own_gpus, set_up
from rankone.runtime.job import job
from rankone.runtime.leases import hold
from rankone.settings import read_section
from rankone.study.disk import STATE_COPIES, check_disk
from rankone.training import fit, launch, measurement, run_identity, run_state
from rankone.training.settings import TrainingSettings
from rankone.weights.checkpoints import weights_hash
from rankone.weights.factors import save_directions
from rankone.weights.model_files import weight_files

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

TABLES = ("metrics", "probes", "updates")


def main(
    run: str,
    model_folder: str,
    problems: dict[str, str],
    settings: dict,
    state: str,
    tables: dict[str, str],
    directions: str,
    checkpoints: dict[int, str],
    threads: int,
    log: str,
    code_changes: str,
) -> None:
    """Train, or go on training, the run called `run`; then publish its files.

    `settings` are TrainingSettings as plain values, `problems` and `tables` paths by
    name. `code_changes` says whether a half-made run goes on with other code.
    """
    state, base = Path(state), weight_files(model_folder)
    typed = read_section(TrainingSettings, settings)
    identity = run_identity.run_identity(settings, weights_hash(model_folder), problems)
    verifiers = run_identity.used_verifiers(problems)
    made = run_identity.made_with(typed, verifiers)
    manifest = run_state.claim_state(state, identity, verifiers, made)
    points = measurement.measure_points(typed)
    if not run_state.finished(state, list(checkpoints), points):
        manifest = run_state.claim_code(state, run, manifest, made, code_changes)
        size = sum(file.stat().st_size for file in base)
        check_disk(size * (len(checkpoints) + STATE_COPIES), [str(state)])
        arguments = {
            "run": run,
            "model_folder": model_folder,
            "problems": problems,
            "settings": typed,
            "state": str(state),
            "metadata": {
                "run": run,
                "base": identity["base"],
                "identity": manifest["digest"],
                "code": run_identity.code_digests(manifest)[-1],
            },
        }
        if typed.launch.processes > 1:
            launch.train(threads, log, arguments)
        else:
            fit.fit(**arguments)
    rows = pd.DataFrame(run_state.read_metrics(state / "metrics.jsonl"))
    last = run_state.export_path(state / "exports", max(checkpoints))
    run_state.check_result(run, rows, base, last)
    stems = {p: measurement.point_stem(state / "measured", p) for p in points if p[0]}
    measured = {p: f"{stem}.factors.safetensors" for p, stem in stems.items()}
    save_directions(directions, measured, {"run": run, "dtype": "float32"})
    run_state.publish(state, run, points, tables, checkpoints)


if __name__ == "__main__":
    run, state = snakemake.wildcards.run, snakemake.params.state
    with (
        job(snakemake),
        hold(f"{state}.lease", f"The state of run {run}"),
        own_gpus(snakemake.resources.get("gpu", 1)),
    ):
        set_up(snakemake.threads, keep_memory=True)
        main(
            *(run, snakemake.input.model),
            {split: snakemake.input[split] for split in snakemake.params.splits},
            *(snakemake.params.settings, state),
            {name: snakemake.output[name] for name in TABLES},
            snakemake.output.directions,
            dict(
                zip(snakemake.params.steps, snakemake.output.checkpoints, strict=True)
            ),
            *(snakemake.threads, snakemake.log[0]),
            snakemake.config.get("code_changes", "stop"),
        )
