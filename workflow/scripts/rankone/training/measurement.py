"""What is measured during training, and when an intervention acts.

A point of measurement is a step and one of `before` and `after` a substitution, or
`step` where there is none. At each, the verifier's reward on fixed problems and the
first triplet of every update are measured, with random numbers of their own: a run that
is measured ends with the same weights as one that is not.
"""

from __future__ import annotations

import logging
import time
from contextlib import AbstractContextManager, nullcontext
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
import torch
from safetensors.torch import save_file
from transformers import Trainer, TrainerCallback
from trl.models import unwrap_model_for_generation

from rankone.data.verifier import correct
from rankone.errors import UserError
from rankone.files import replacing
from rankone.inference import generation
from rankone.linalg.svd import Factors
from rankone.seeding import random_generator
from rankone.tables_io import write_table
from rankone.training import interventions
from rankone.training.interventions import AdapterUpdates, FullUpdates
from rankone.training.method import Generation
from rankone.weights.checkpoints import index, own_weights
from rankone.weights.factors import load_factors, save_factors
from rankone.weights.updates import locate, update_statistics

if TYPE_CHECKING:  # descriptions of keys are no part of the code of a run
    from rankone.training.settings import Probes, TrainingSettings

logger = logging.getLogger(__name__)

MeasurePoint = tuple[int, str]
WAYS = ("greedy", "sampled")
NORM_COLUMNS = ["tensor", "exp_avg_norm", "exp_avg_sq_norm"]
UPDATE_COLUMNS = [
    *("run", "step", "moment", "layer", "module", "tensor", "rows", "columns"),
    *("frobenius_norm", "sigma_1", "norm_share", "energy_share", "stable_rank"),
    *("relative_gap", "residual", "identifiable", *NORM_COLUMNS[1:]),
    *("cosine_left", "cosine_right"),
]
PROBE_COLUMNS = ["split", "problem", "sampling", "correct", "samples"]


def measure_points(settings: TrainingSettings) -> list[MeasurePoint]:
    """Every point of a run in order: start, exports, substitutions, every so many."""
    schedule, every = settings.schedule, settings.probes.every
    intervention = interventions.make(settings.intervention)
    found: list[MeasurePoint] = [(0, "step")]
    for step in range(1, schedule.max_steps + 1):
        if intervention and intervention.due(step):
            found += [(step, "before"), (step, "after")]
        elif step in schedule.export_steps or (every and step % every == 0):
            found.append((step, "step"))
    return found


def complete(
    trainer: Trainer,
    how: Generation,
    prompts: list[str],
    greedy: list[bool],
    size: int,
    seed: int,
) -> list[str]:
    """One completion of every prompt: the best one, or one sampled as `how` says."""
    with (
        unwrap_model_for_generation(
            trainer.model_wrapped,
            trainer.accelerator,
            gather_deepspeed3_params=how.gather,
            gradient_checkpointing_kwargs=trainer.args.gradient_checkpointing_kwargs,
        ) as model,
        whole_autocast(trainer),
    ):
        return generation.complete(
            *(model, trainer.processing_class, prompts, greedy, how),
            size=size,
            seed=seed,
        )


def probe(
    trainer: Trainer,
    how: Generation,
    problems: dict[str, list[dict]],
    probes: Probes,
    seed: str,
) -> list[dict]:
    """Correct answers to every problem of every split: one greedy, some at random.

    All are answered together, so that the weights are cast once and a problem's prompt
    is computed once.
    """
    if not problems:
        return []
    counts = dict(zip(WAYS, (1, probes.samples), strict=True))
    keys = [
        ({"split": split, "problem": row["id"], "sampling": way}, row, way)
        for split, rows in problems.items()
        for row in rows
        for way in WAYS
    ]
    each = [(row, way == WAYS[0]) for _, row, way in keys for _ in range(counts[way])]
    asked, greedy = map(list, zip(*each, strict=True))
    prompts = [row["prompt"] for row in asked]
    number = random_generator(seed, "probe").initial_seed()
    completions = complete(trainer, how, prompts, greedy, probes.batch_size, number)
    right = iter(correct(completions, asked))
    return [
        key | {"correct": sum(islice(right, counts[way])), "samples": counts[way]}
        for key, _, way in keys
    ]


def first(factors: Factors) -> Factors:
    """The first triplet alone."""
    return Factors(
        factors.left[:, :1],
        factors.sigma[:1],
        factors.right[:1],
        factors.norm,
        factors.residual[:1],
        factors.gap[:1],
    )


class MeasurementCallback(TrainerCallback):
    """Measures at each point, and substitutes where an intervention is due.

    Its files in `folder` are complete or absent. `seconds` has what each step cost.
    """

    def __init__(
        self,
        trainer: Trainer,
        how: Generation,
        folder: Path,
        base: list[Path],
        settings: TrainingSettings,
        problems: dict[str, list[dict]],
    ):
        self.trainer, self.how = trainer, how
        self.folder, self.base = folder, index(base)
        self.problems = problems
        self.intervention = interventions.make(settings.intervention)
        self.probes, self.seed = settings.probes, settings.seed
        self.seconds = {"probes": 0.0, "substitution": 0.0}
        self.points = measure_points(settings)

    def on_train_begin(self, args, state, control, optimizer=None, **kwargs):
        """Refuse what cannot be done right; take up the reference of a resumed run."""
        # Not earlier: sharding puts new parameters for those that the model had.
        self.weights = interventions.updates_of(self.trainer.model, self.base)
        if self.intervention:
            check_whole(self.trainer, self.weights)
            self.load_reference(self.intervention.last_before(state.global_step))
        if state.global_step == 0:
            self.observe((0, "step"), optimizer)

    def on_step_begin(self, args, state, control, **kwargs):
        self.seconds = dict.fromkeys(self.seconds, 0.0)

    def on_step_end(self, args, state, control, optimizer=None, **kwargs):
        step = state.global_step
        for point in [p for p in self.points if p[0] == step]:
            if point[1] == "after":
                self.substitute(step, optimizer)
            self.measured = self.observe(point, optimizer)
            if point[1] == "after":
                self.keep_reference(step)
                logger.info(
                    "Step %d: %s put for the updates, in %.1f s with both measurements",
                    *(step, self.intervention.recipe.name),
                    self.seconds["substitution"],
                )

    def observe(self, point: MeasurePoint, optimizer) -> dict[str, Factors]:
        """Measure, and write what was found."""
        begun = time.monotonic()
        measured = self.decompose() if point[0] else {}
        decomposed = time.monotonic()
        rows = probe(
            *(self.trainer, self.how, self.problems, self.probes),
            f"{self.seed}:{point}",
        )
        self.seconds["probes"] += time.monotonic() - decomposed
        self.seconds["substitution"] += (decomposed - begun) * (point[1] != "step")
        if self.trainer.accelerator.is_main_process:
            self.write(point, rows, measured, optimizer)
        return measured

    @torch.no_grad()
    def decompose(self) -> dict[str, Factors]:
        """The triplets of every matrix that the tables and the intervention need."""
        return {
            name: self.weights.factors(name, self.wanted(name))
            for name in self.weights.names
        }

    def wanted(self, name: str) -> int:
        """Triplets to compute of one matrix."""
        if not self.intervention:
            return interventions.KEPT_RANK
        return interventions.needed_triplets(
            self.intervention.recipe, self.weights.shape(name)
        )

    def write(self, point: MeasurePoint, rows: list, measured: dict, optimizer) -> None:
        """The files of one point; Adam's norms are unknown of sharded weights."""
        stem = point_stem(self.folder, point)
        norms = [{"tensor": name} for name in measured]
        for row in norms if not sharded(self.trainer) else ():
            parameters = self.weights.trained(row["tensor"])
            row |= interventions.moment_norms(optimizer, parameters)
        table = pd.DataFrame(norms, columns=NORM_COLUMNS)
        write_table(table, f"{stem}.moment-norms.parquet")
        write_table(pd.DataFrame(rows, columns=PROBE_COLUMNS), f"{stem}.probes.parquet")
        kept = {name: first(factors) for name, factors in measured.items()}
        save_factors(f"{stem}.factors.safetensors", kept, {"dtype": "float32"})

    def substitute(self, step: int, optimizer) -> None:
        """Put the recipe's part for every update."""
        begun = time.monotonic()
        interventions.substitute(
            *(self.weights, self.intervention, self.measured),
            *(f"{self.seed}:{step}", optimizer),
        )
        self.seconds["substitution"] += time.monotonic() - begun

    def reference_file(self, step: int) -> Path:
        """Where the weights after a substitution are kept as a reference."""
        return self.folder / f"reference-{step}.safetensors"

    def keep_reference(self, step: int) -> None:
        """Let the next updates be taken from the weights as they are now.

        Files that no trainer checkpoint needs any more are removed.
        """
        if self.intervention.reference != "last":
            return
        if self.trainer.accelerator.is_main_process:
            with replacing(self.reference_file(step)) as temporary:
                save_file(own_weights(self.trainer.model), temporary)
            saved = Path(self.trainer.args.output_dir).glob("checkpoint-*")
            steps = [int(folder.name.split("-")[1]) for folder in saved]
            needed = {self.intervention.last_before(s) for s in steps} | {step}
            for file in self.folder.glob("reference-*.safetensors"):
                if int(file.stem.split("-")[1]) not in needed:
                    file.unlink()
        self.trainer.accelerator.wait_for_everyone()
        self.load_reference(step)

    def load_reference(self, step: int | None) -> None:
        """Take updates from the weights after that step's substitution."""
        if self.intervention.reference == "last" and step:
            self.weights.reference = index([self.reference_file(step)])


def sharded(trainer: Trainer) -> bool:
    """Whether a process has only parts of matrices."""
    return trainer.is_fsdp_enabled or trainer.is_deepspeed_enabled


def whole_autocast(trainer: Trainer) -> AbstractContextManager:
    """Autocast around a whole generation, whose cast weights are kept.

    Sharded weights are put together layer by layer: to keep them would fill the memory.
    """
    return nullcontext() if sharded(trainer) else trainer.accelerator.autocast()


def check_whole(trainer: Trainer, weights: FullUpdates | AdapterUpdates) -> None:
    """Raise UserError where weights are in parts, or not in float32."""
    if sharded(trainer):
        raise UserError(
            "intervention: under FSDP or DeepSpeed no process has whole matrices; "
            "train on one device, or on several with plain data parallelism."
        )
    for name in weights.names:
        for parameter in weights.trained(name):
            if parameter.dtype != torch.float32:
                raise UserError(
                    f"intervention: {name} is {parameter.dtype}, but float32 master "
                    "weights are needed; load the model in float32 (bf16 only "
                    "sets the precision of the passes)."
                )


def point_stem(folder: Path, point: MeasurePoint) -> Path:
    """Where the files of a point are, without their suffixes."""
    return folder / f"step-{point[0]}-{point[1]}"


def complete_points(folder: Path, wanted: list[MeasurePoint]) -> bool:
    """Whether every point was measured (the factors are written last)."""
    return all(
        Path(f"{point_stem(folder, point)}.factors.safetensors").exists()
        for point in wanted
    )


def gather_probes(folder: Path, run: str, wanted: list[MeasurePoint]) -> pd.DataFrame:
    """One row per point, problem and way of sampling."""
    tables = [
        pd.read_parquet(f"{point_stem(folder, point)}.probes.parquet").assign(
            run=run, step=point[0], moment=point[1]
        )
        for point in wanted
    ]
    return pd.concat(tables, ignore_index=True)[
        ["run", "step", "moment", *PROBE_COLUMNS]
    ]


def gather_updates(folder: Path, run: str, wanted: list[MeasurePoint]) -> pd.DataFrame:
    """One row per point and matrix.

    What update_statistics() gives, the norms of Adam's moments, and the cosines of the
    first singular vectors to those of the point before.
    """
    rows, before = [], None
    for point in wanted[1:]:
        stem = point_stem(folder, point)
        handles = index([Path(f"{stem}.factors.safetensors")])
        norms = pd.read_parquet(f"{stem}.moment-norms.parquet").set_index("tensor")
        now = {name: load_factors(handles, name) for name in norms.index}
        for name, factors in now.items():
            layer, module = locate(name)
            key = {"run": run, "step": point[0], "moment": point[1]}
            key |= {"layer": layer, "module": module, "tensor": name}
            turned = cosines(factors, before[name]) if before else {}
            rows.append(
                key | update_statistics(factors, None) | dict(norms.loc[name]) | turned
            )
        before = now
    return pd.DataFrame(rows, columns=UPDATE_COLUMNS)


def cosines(now: Factors, before: Factors) -> dict[str, float]:
    """|cos| of both first singular vectors to the earlier ones."""
    left = (now.left[:, 0] @ before.left[:, 0]).abs().item()
    return {
        "cosine_left": left,
        "cosine_right": (now.right[0] @ before.right[0]).abs().item(),
    }
