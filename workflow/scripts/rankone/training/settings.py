"""The sections of training, and what of them decides a run, as typed objects."""

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field

from rankone.data.settings import Split
from rankone.settings import Count, Distinct, Section, Steps, absent
from rankone.training.method import DEFAULT, METHODS

Grpo = dict[str, Any]
Lora = dict[str, Any]


def method_sections() -> set[str]:
    """Names of the sections in which methods have their settings."""
    return {method.section for method in METHODS.values()}


class Launch(Section):
    """Processes of a training."""

    processes: Count = Field(
        1, description="training processes on all nodes together, one a GPU"
    )
    nodes: Count = Field(
        1, description="nodes of a SLURM job that they are spread over evenly"
    )
    config: Literal["ddp", "fsdp2", "deepspeed_zero3"] = Field(
        "ddp",
        description="how they share the work, a file in `config/accelerate`: `ddp` "
        "(whole models), `fsdp2` or `deepspeed_zero3` (weights in parts)",
    )


class Schedule(Section):
    """Optimizer steps at which something happens."""

    max_steps: Count = Field(description="length of every run")
    export_steps: Steps = Field(
        description="steps whose weights are exported in float32; the last one ends "
        "the run"
    )
    save_steps: Count = Field(
        10,
        description="steps between two saves of the trainer's state: what a kill costs "
        "at most",
    )


class Import(Section):
    """A trajectory that was trained elsewhere."""

    steps: Annotated[
        dict[int | str, Annotated[str, Field(min_length=1)]], Field(min_length=1)
    ] = Field(
        description="its checkpoints by optimizer step: local folders, or "
        "`owner/name@revision` on a hub"
    )


class Intervention(Section):
    """What replaces the updates during training."""

    period: Count = Field(description="optimizer steps between two substitutions")
    recipe: str = Field(
        description="the variant that is put for every update, such as `rank1`; `full` "
        "is a no-op"
    )
    reference: Literal["base", "last"] = Field(
        "base",
        description="what updates are taken from: `base`, or the weights after the "
        "`last` substitution",
    )
    others: Literal["keep", "reset"] = Field(
        "keep",
        description="tensors that the recipe does not change: `keep` them as trained, "
        "or `reset` them to the reference",
    )
    optimizer_state: Literal["keep", "zero", "project"] = Field(
        "keep",
        description="Adam's state of the changed tensors: `keep`, `zero` (both moments "
        "and the step count), `project` (the first moment, on the kept directions)",
    )
    from_step: Count = Field(
        1, description="the first step after which a substitution may follow"
    )
    to_step: Count | None = Field(
        None, description="the last such step; null for no limit"
    )


class Arm(Section):
    """A method with its settings and seeds."""

    method: str = Field(
        DEFAULT,
        description="how its runs are trained: a file of `training/methods`, or of a "
        "plugin",
    )
    seeds: Annotated[Distinct[Annotated[int, Field(ge=0)]], Field(min_length=1)] = (
        Field(
            [0],
            description="seeds of data order, rollouts and optimizer: a run for each",
        )
    )
    import_: Import | None = absent(
        "a trajectory that was trained elsewhere, instead of training "
        "([imports](#imports))",
        alias="import",
    )
    intervention: Intervention | None = absent(
        "what is put for the updates during training (see below); the first arm has "
        "none, and the others are compared with it"
    )


class Probes(Section):
    """What is measured during training."""

    splits: Distinct[Split] = Field(
        ["train_probe", "held_out", "shifted"],
        description="problem sets; none of them measures the updates alone",
    )
    problems: Count = Field(64, description="the first so many problems of each")
    samples: Count = Field(
        4,
        description="answers to each problem at the training temperature, beside a "
        "greedy one",
    )
    batch_size: Count = Field(256, description="prompts that are answered together")
    every: Count | None = Field(
        None,
        description="steps between two measurements; exported steps and substitutions "
        "are always measured; null for those alone",
    )


class TrainingSettings(Section):
    """Everything that decides the outcome of a run, as the rule `train` gives it.

    Beside these keys there is the section of its method: see of_method().
    """

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, dict[str, Any]]

    method: str = DEFAULT
    lora: Lora | None
    schedule: Schedule
    probes: Probes
    launch: Launch
    seed: Annotated[int, Field(ge=0)]
    intervention: Intervention | None
    trust_remote_code: bool

    @classmethod
    def open_keys(cls) -> set[str]:
        return method_sections()

    def of_method(self) -> dict[str, Any]:
        """The section of the run's method, which checks it itself."""
        return self.__pydantic_extra__[METHODS[self.method].section]
