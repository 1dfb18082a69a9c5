"""The whole config of a study: its sections, put together from the stages' own."""

from typing import Annotated, Literal

from pydantic import BeforeValidator, ConfigDict, Field, SerializeAsAny

from rankone.analysis.settings import Analyze
from rankone.data.settings import Problems
from rankone.data.source import read_problems
from rankone.evaluation.settings import Benchmark, Evaluate
from rankone.inference.settings import Sample
from rankone.names import FULL
from rankone.registry import name_plugins
from rankone.settings import (
    Contains,
    Distinct,
    Others,
    Section,
    absent,
    read_section,
)
from rankone.training.settings import (
    Arm,
    Grpo,
    Launch,
    Lora,
    Probes,
    Schedule,
    method_sections,
)
from rankone.variants.settings import Artefacts
from rankone.weights.settings import Decompose, Model

ArmName = Annotated[str, Field(pattern="^(?!base$|all$)[a-z0-9][a-z0-9-]*$")]


class Hardware(Section):
    """What estimates of time assume."""

    tflops: float = Field(
        100,
        gt=0,
        description="useful TFLOP/s of a GPU, or of the CPU where there is none; the "
        "default is a third of an A100's peak, a tenth of an H100's",
    )


class Config(Section):
    """Arms, schedule, variants, benchmarks and analyses of one study."""

    # A plugin's training method may have a section of its own.
    model_config = ConfigDict(extra="allow")

    @classmethod
    def open_keys(cls) -> set[str]:
        return method_sections()

    study: str = Field("study", description="name shown in the report")
    plugins: list[str] = Field(
        [],
        description="Python files of your own that register a source of problems, a "
        "verifier, a kind of variant, a claim or a figure (docs/extending.md)",
    )
    code_changes: Literal["stop", "continue", "restart"] = Field(
        "stop",
        description="what a half-made training does when the code or the libraries "
        "that compute it have changed since: `stop`, `continue` (recorded as mixed) or "
        "`restart` (the state is moved aside)",
    )
    model: Model = Field(
        description="the base model: exactly one of `package`, `path`, `hub`"
    )
    hardware: Hardware = Field(
        Hardware(),
        description="what estimates of time assume; results do not depend on it",
    )
    problems: Annotated[SerializeAsAny[Problems], BeforeValidator(read_problems)] = (
        Field(
            description="problem sets: arithmetic (`mixture`, `shifted_mixture`) or "
            "`datasets` with a `template`"
        )
    )
    grpo: Grpo = Field(
        {},
        description="any field of `trl.GRPOConfig` that `schedule` and `arms` do not "
        "set; without `bf16` or `fp16`, bfloat16 autocast where the hardware has it",
    )
    lora: Lora | None = Field(
        None,
        description="any field of `peft.LoraConfig`: only LoRA factors train then; "
        "null trains all weights",
    )
    launch: Launch = Field(
        Launch(),
        description="processes of a training (see below); with one it runs in the "
        "job's own process",
    )
    schedule: Schedule | None = absent(
        "optimizer steps at which something happens; needed where a run is trained"
    )
    arms: Annotated[dict[ArmName, Arm], Field(min_length=1)] = Field(
        description="methods by name (lower-case letters, digits and `-`); the run of "
        "seed N is `ARM-seedN`"
    )
    checkpoints: Literal["keep", "temp"] = Field(
        "keep",
        description="`keep` exported and imported weights, or `temp`: they go when "
        "everything that the study makes of them is made",
    )
    probes: Probes = Field(
        Probes(),
        description="what is measured during training, beside the reward of the "
        "batches",
    )
    decompose: Decompose = Field(Decompose(), description="SVD of the updates")
    variants: Annotated[Distinct[str], Contains(FULL)] = Field(
        description="recipes evaluated at the last exported step (see below); must "
        "contain `full`"
    )
    others: Others = Field(
        "base",
        description="biases, norms, embeddings and head in every variant but `full`: "
        "`base` or `trained`",
    )
    artefacts: Artefacts = Field(
        Artefacts(),
        description="variants written as files, at the last exported step of every run",
    )
    evaluate: Evaluate = Field(Evaluate(), description="how benchmarks are run")
    benchmarks: Annotated[dict[str, Benchmark], Field(min_length=1)] = Field(
        description="lm-eval tasks by name"
    )
    sample: Sample = Field(
        Sample(),
        description="many answers to few problems, for pass@k, perplexity and KL",
    )
    analyze: Analyze = Field(Analyze(), description="intervals and tests")


def read(given: dict) -> Config:
    """The typed config; UserError, one sentence, for its first mistake."""
    plugins = given.get("plugins", [])
    if isinstance(plugins, list) and all(isinstance(path, str) for path in plugins):
        name_plugins(plugins)
    return read_section(Config, given)
