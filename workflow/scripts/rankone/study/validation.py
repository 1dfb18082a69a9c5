"""What a config must satisfy beyond types and keys; quick enough for every start."""

import ast
import difflib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

from rankone.data.source import check_problems, source_of
from rankone.errors import UserError
from rankone.evaluation.settings import Benchmark, Evaluate
from rankone.evaluation.tasks import own_tasks
from rankone.study.config import Config, read
from rankone.study.estimates import completion_length, parameters
from rankone.study.runs import expand
from rankone.training.method import METHODS, study_methods
from rankone.training.settings import Intervention, Launch, Lora, Schedule
from rankone.variants import grammar
from rankone.variants.kind import listed, names_of
from rankone.variants.settings import Artefacts
from rankone.weights import import_plan
from rankone.weights.import_plan import NOT_LOW_RANK
from rankone.weights.model_files import check_model_folder
from rankone.weights.settings import Model


def check_schedule(schedule: Schedule) -> None:
    """Raise UserError for exported steps that the run never reaches."""
    late = [step for step in schedule.export_steps if step > schedule.max_steps]
    if late:
        raise UserError(
            f"schedule.export_steps: {late} lie beyond max_steps = "
            f"{schedule.max_steps}; raise max_steps or drop them."
        )


def check_launch(launch: Launch) -> None:
    """Raise UserError when the nodes cannot have equal numbers of processes."""
    if launch.processes % launch.nodes:
        raise UserError(
            f"launch: {launch.processes} processes cannot be spread evenly over "
            f"{launch.nodes} nodes; choose a multiple."
        )


def check_hub_model(model: Model) -> None:
    """Raise UserError for a hub model whose size nobody says."""
    if model.hub and not model.parameters:
        raise UserError(
            f"model.parameters: give the number of weights of {model.hub}, such as "
            "1543714304; memory, time and disk are estimated from it."
        )


LORA_SOURCES = {"peft": ("tuners/lora/config.py", "config.py")}
LORA_RANK = 8  # PEFT's default


def class_fields(sources: Mapping[str, tuple[str, ...]]) -> set[str]:
    """Names of the fields of the classes in these files of packages.

    They are read from the text: importing it takes seconds. Empty where a package is
    not installed (the rule's own environment has it then).
    """
    fields: set[str] = set()
    for package, files in sources.items():
        if not (spec := find_spec(package)):
            return set()
        for file in files:
            tree = ast.parse((Path(spec.origin).parent / file).read_text("utf-8"))
            classes = (node for node in tree.body if isinstance(node, ast.ClassDef))
            for node in classes:
                annotated = (n for n in node.body if isinstance(n, ast.AnnAssign))
                fields |= {n.target.id for n in annotated}
    return fields


def check_fields(section: str, settings: dict, sources: Mapping, owner: str) -> None:
    """Raise UserError for a key that is no field of the class that takes it."""
    known = class_fields(sources)
    for name in settings if known else ():
        if name not in known:
            close = difflib.get_close_matches(name, known, n=3)
            hint = f" Did you mean {' or '.join(close)}?" if close else ""
            raise UserError(f"{section}.{name} is not a field of {owner}.{hint}")


def check_methods(config: Config) -> None:
    """Raise UserError for an unknown method, or a key that it lacks or Rankone sets."""
    for name, arm in config.arms.items():
        with explained(f"arms.{name}.method"):
            METHODS[arm.method]
    for method, found in study_methods(config):
        for name in sorted(method.own_arguments & found.keys()):
            raise UserError(
                f"{method.section}.{name} is set by Rankone; see `schedule:`, `arms:` "
                "and `launch:` instead."
            )
        check_fields(method.section, found, method.sources, method.owner)


def check_lora(settings: Lora | None) -> None:
    """Raise UserError for a `lora:` key that is unknown or makes no plain factors."""
    for name in NOT_LOW_RANK & (settings or {}).keys():
        raise UserError(
            f"lora.{name}: only plain LoRA factors can be decomposed; remove it."
        )
    check_fields("lora", settings or {}, LORA_SOURCES, "peft.LoraConfig")


def check_benchmarks(benchmarks: dict[str, Benchmark], folders: list[str]) -> None:
    """Raise UserError for a benchmark whose task or data is nowhere.

    Tasks of lm-eval itself, with data from the hub, are loaded before any training.
    """
    ours = own_tasks(folders)
    unknown = {name for name, b in benchmarks.items() if not b.hub} - ours
    if unknown:
        raise UserError(
            f"benchmarks: {', '.join(sorted(unknown))} is no task of Rankone "
            f"({', '.join(sorted(ours))}) or of evaluate.task_folders; a task of "
            "lm-eval itself needs `hub` and `revision`, the repository of its data."
        )


def check_variants(where: str, names: list[str]) -> None:
    """Raise UserError for a name that is not in the grammar."""
    for number, name in enumerate(names):
        with explained(f"{where}.{number}"):
            grammar.parse(name)


# Arguments of lm-eval's vLLM model that Rankone sets itself.
OWN_ENGINE = {
    *("pretrained", "dtype", "seed", "trust_remote_code", "batch_size", "max_loras"),
    *("enable_lora", "max_lora_rank", "lora_local_path", "worker_extension_cls"),
    "data_parallel_size",  # engines of their own, whose weights stay as they are
}


def check_backend(evaluate: Evaluate, variants: list[str], others: str) -> None:
    """Raise UserError for what a vLLM engine cannot serve."""
    for name in OWN_ENGINE & evaluate.vllm.keys():
        raise UserError(f"evaluate.vllm.{name} is set by Rankone; remove it.")
    for name in variants if evaluate.backend == "vllm" else ():
        grammar.check_served(grammar.parse(name), others)


def check_artefacts(artefacts: Artefacts, others: str) -> None:
    """Raise UserError for a variant that is unknown or that no adapter can hold."""
    for name in artefacts.adapters:
        grammar.check_adapter(grammar.parse(name), others)
    for name in artefacts.models:
        grammar.parse(name)


# Adam as torch has it: its moments can be projected.
PLAIN_ADAM = ("adamw_torch", "adamw_torch_fused")
SHARDED = ("fsdp2", "deepspeed_zero3")


def check_arms(config: Config) -> None:
    """Raise UserError for interventions that mean nothing or cannot be done."""
    first = next(iter(config.arms))
    acting = [name for name, arm in config.arms.items() if arm.intervention]
    imported = [name for name, arm in config.arms.items() if arm.import_]
    if both := set(acting) & set(imported):
        raise UserError(
            f"arms.{min(both)} has an import and an intervention, but an intervention "
            "acts during training; remove one of them."
        )
    if acting and first in imported:
        raise UserError(
            f"arms: the first one, {first}, is imported, but {acting[0]} is compared "
            "with the rewards of its training; name a trained arm first."
        )
    if config.arms[first].intervention:
        raise UserError(
            f"arms: the first one, {first}, has an intervention, but the others are "
            "compared with it; name an arm without an intervention first."
        )
    for name, arm in config.arms.items():
        if arm.intervention:
            check_intervention(f"arms.{name}.intervention", arm.intervention, config)


def check_intervention(where: str, intervention: Intervention, config: Config) -> None:
    """Raise UserError for one that never acts, or that this training cannot have."""
    recipe, launch = grammar.parse(intervention.recipe), config.launch
    last = intervention.to_step or config.schedule.max_steps
    period, first = intervention.period, intervention.from_step
    if not any(step % period == 0 for step in range(first, last + 1)):
        raise UserError(
            f"{where}: no multiple of the period {period} lies between steps {first} "
            f"and {last}, so it would never act."
        )
    if launch.processes > 1 and launch.config in SHARDED:
        raise UserError(
            f"{where}: under launch.config = {launch.config} no process has whole "
            "matrices; choose ddp, or remove the intervention."
        )
    if intervention.optimizer_state == "project":
        check_projection(where, recipe, config)
    if config.lora is not None:
        check_lora_intervention(where, intervention, recipe, config.lora)


def check_projection(where: str, recipe: grammar.Recipe, config: Config) -> None:
    """Raise UserError where no moment can be projected on leading directions."""
    optimizer = config.grpo.get("optim", PLAIN_ADAM[-1])
    if not recipe.kind.projects_moment or config.lora is not None:
        able = listed([f"{name}K" for name in names_of(lambda k: k.projects_moment)])
        raise UserError(
            f"{where}: optimizer_state: project is for {able} recipes in full "
            "training; choose keep or zero."
        )
    if optimizer not in PLAIN_ADAM:
        raise UserError(
            f"{where}: optimizer_state: project needs grpo.optim to be one of "
            f"{', '.join(PLAIN_ADAM)}, found {optimizer}."
        )


def check_lora_intervention(
    where: str, intervention: Intervention, recipe: grammar.Recipe, lora: Lora
) -> None:
    """Raise UserError for what the factors of a LoRA run cannot hold."""
    rank = lora.get("r", LORA_RANK)
    if intervention.reference == "last":
        raise UserError(
            f"{where}: reference: last needs updates of growing rank, which LoRA "
            "factors cannot hold; use `base`."
        )
    known = recipe.kind.fits_lora and not recipe.percent
    if not known or (recipe.rank or 0) > rank:
        raise UserError(
            f"{where}: LoRA factors of rank {rank} cannot hold {recipe.name}; choose "
            f"{', '.join(names_of(lambda k: k.share))}, or a rank of at most {rank}."
        )


def check_imports(config: Config) -> None:
    """Raise UserError for an import that is not there, or does not fit the base.

    As far as headers and JSON files of local folders tell; import jobs check the rest.
    """
    base = config.model.path and Path(config.model.path)
    named: dict[tuple[str, str], str] = {}
    for name, run in expand(config).items():
        for step, source in (run.sources or {}).items():
            where = f"arms.{run.arm}.import, step {step}"
            if other := named.get((run.arm, source)):
                raise UserError(
                    f"{where} of {name}: {source} is given for {other}, too; name each "
                    "checkpoint once ({seed} stands for the seed)."
                )
            named[run.arm, source] = f"step {step} of {name}"
            if not import_plan.hub_revision(source):
                with explained(where):
                    import_plan.fit(Path(source), base, config.model)


@contextmanager
def explained(where: str) -> Iterator[None]:
    """Put the place in the config before the sentence of a UserError."""
    try:
        yield
    except UserError as error:
        raise UserError(f"{where}: {error}") from error


def check(config: Config) -> None:
    """Raise UserError for a study that could not be carried out as written."""
    check_hub_model(config.model)
    trained = [name for name, arm in config.arms.items() if not arm.import_]
    if trained and not config.schedule:
        raise UserError(
            f"schedule is missing, but {', '.join(trained)} is trained here; give "
            "max_steps and export_steps, or an `import`."
        )
    if config.schedule:
        check_schedule(config.schedule)
    check_methods(config)
    check_lora(config.lora)
    check_arms(config)
    check_launch(config.launch)
    for method, found in study_methods(config):
        method.check(found, config.launch.processes)
    check_benchmarks(config.benchmarks, config.evaluate.task_folders)
    check_variants("variants", config.variants)
    check_variants("sample.variants", config.sample.variants)
    check_backend(config.evaluate, config.variants, config.others)
    check_artefacts(config.artefacts, config.others)
    check_problems(config.problems)
    if config.model.path:
        check_model_folder(config.model.path)
    parameters(config.model)
    check_imports(config)


def load(given: dict) -> Config:
    """The typed config; UserError for a study that cannot be carried out as written."""
    config = read(given)
    check(config)
    return config


def completion_limits(config: Config) -> dict:
    """What ends a completion in training, in the words of lm-eval."""
    stop = source_of(config.problems).stop(config.problems)
    return {"until": stop, "max_gen_toks": completion_length(config)}
