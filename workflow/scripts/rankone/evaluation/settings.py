"""The sections of benchmarks and of how they are run."""

from typing import Any, ClassVar, Literal

from pydantic import Field

from rankone.settings import Count, Others, Precision, Repository, Section, absent


class Evaluate(Section):
    """How benchmarks are run."""

    backend: Literal["hf", "vllm"] = Field(
        "hf",
        description="what answers: transformers in the job itself (`hf`), or a vLLM "
        "engine (`vllm`, see below), for all variants",
    )
    vllm: dict[str, Any] = Field(
        {},
        description="arguments of vLLM's engine, such as `tensor_parallel_size`, "
        "`max_model_len` or `gpu_memory_utilization`",
    )
    dtype: Precision = Field(
        "auto",
        description="weights and forward passes; `auto` is bfloat16 where the hardware "
        "has it, else float32",
    )
    batch_size: Count = Field(
        16, description="sequences in a forward pass of `hf` (vLLM batches by itself)"
    )
    task_folders: list[str] = Field(
        [], description="folders with lm-eval tasks of your own"
    )
    seed: int = Field(
        0, description="seed of the random variants and of sampled answers"
    )


class Benchmark(Section):
    """A task of lm-eval."""

    needs: ClassVar = {"hub": "revision", "revision": "hub"}

    domain: Literal["mathematics", "knowledge"] = Field(
        description="what it measures: `mathematics` or `knowledge`"
    )
    metric: str = Field(
        description="item-level metric of the task, such as `acc`; with a filter if it "
        "has several, such as `exact_match,flexible-extract`"
    )
    hub: Repository | None = absent(
        "repository of the task's data, for a task of lm-eval itself; needs `revision`"
    )
    revision: str | None = absent("its commit; [pin](#from-a-hub) writes it")
    shots: int | None = Field(
        None,
        ge=0,
        description="solved examples before each item; null for the task's own number",
    )
    chat: bool = Field(
        False, description="whether items are put into the model's chat template"
    )
    generation: dict[str, Any] = Field(
        {},
        description="replaces parts of the task's `generation_kwargs`, such as "
        "`max_gen_toks` and `until`",
    )
    items: Count | None = Field(
        None,
        description="the first so many items (they are shuffled); null for all",
    )


class EvaluationSettings(Section):
    """Everything but the variants that decides the scores of a model.

    The `generation` of a benchmark has, beside its own limits, those of training.
    """

    benchmarks: dict[str, Benchmark]
    evaluate: Evaluate
    others: Others
    seed: int
    trust_remote_code: bool
