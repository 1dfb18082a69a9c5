"""Benchmarks with vLLM: one engine for the base and all variants, no copy of the model.

A variant of low rank is served as a LoRA adapter beside the base; of every other one
the workers of the engine take the weights in place, and then the base's again. vLLM is
imported where the engine is opened; the tests go as far as that.
"""

import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from rankone.errors import UserError
from rankone.evaluation.settings import EvaluationSettings
from rankone.runtime.device import dtype
from rankone.variants.export import write_adapter
from rankone.variants.grammar import VLLM_LORA_RANKS, Recipe, parse, served_as_adapter
from rankone.variants.in_place import (
    StepWeights,
    covered,
    open_step_weights,
    substituted_weight,
)
from rankone.variants.settings import ExportSettings
from rankone.weights.checkpoints import WeightMap, index, read, shapes
from rankone.weights.settings import Model
from rankone.weights.updates import locate

if TYPE_CHECKING:
    from lm_eval.models.vllm_causallms import VLLM


def adapter_rank(recipe: Recipe, base: WeightMap) -> int:
    """The rank of the adapter that holds a recipe."""
    found = shapes(base)
    return max(recipe.adapter_rank(min(found[name])) for name in covered(recipe, base))


def engine_rank(ranks: Iterable[int]) -> int | None:
    """The smallest max_lora_rank that vLLM allows for all adapters; None for none."""
    wanted = max(ranks, default=0)
    if wanted > VLLM_LORA_RANKS[-1]:
        raise UserError(
            f"A variant needs an adapter of rank {wanted}, but vLLM serves at most "
            f"{VLLM_LORA_RANKS[-1]}; name fewer directions, or use "
            "evaluate.backend: hf."
        )
    return (
        min((r for r in VLLM_LORA_RANKS if r >= wanted), default=None)
        if wanted
        else None
    )


def engine_options(
    model_folder: str, settings: EvaluationSettings, rank: int | None
) -> dict:
    """Arguments of lm-eval's vLLM model; `rank` is the highest of an adapter."""
    options = settings.evaluate
    adapters = {"enable_lora": True, "max_lora_rank": rank, "max_loras": 1}
    return {
        "pretrained": str(model_folder),
        "dtype": str(dtype(options.dtype)).removeprefix("torch."),
        "seed": settings.seed,
        "trust_remote_code": settings.trust_remote_code,
        "batch_size": "auto",
        "worker_extension_cls": f"{__name__}.{Substitution.__name__}",
        **(adapters if rank else {}),
        **options.vllm,
    }


def open_engine(
    model_folder: str,
    settings: EvaluationSettings,
    weights: StepWeights,
    recipes: list[Recipe | None],
) -> tuple["VLLM", Callable[[Recipe | None], AbstractContextManager]]:
    """lm-eval's model in vLLM, and the context in which it is a variant."""
    if not find_spec("vllm"):
        raise UserError(
            "evaluate.backend: vLLM is not installed in the environment of the rule "
            "evaluate (envs/evaluate.yaml): add what `pip install lm-eval[vllm]` "
            "would, or use `hf`."
        )
    from lm_eval.models.vllm_causallms import VLLM, LoRARequest

    others = settings.others
    ranks = [
        adapter_rank(recipe, weights.base)
        for recipe in recipes
        if recipe and served_as_adapter(recipe, others)
    ]
    lm = VLLM(**engine_options(model_folder, settings, engine_rank(ranks)))
    numbers = {recipe: n for n, recipe in enumerate(recipes, start=1)}

    def applied(recipe: Recipe | None) -> AbstractContextManager:
        if recipe and served_as_adapter(recipe, others):
            request = partial(LoRARequest, recipe.name, numbers[recipe])
            return adapted(lm, recipe, weights, settings.seed, request)
        return substituted(lm, recipe, weights, others, settings.seed)

    return lm, applied


@contextmanager
def adapted(
    lm: "VLLM",
    recipe: Recipe,
    weights: StepWeights,
    seed: int,
    request: Callable[[str], object],
) -> Iterator[None]:
    """Within the block `lm` answers with a variant's adapter, which is then deleted.

    `request` makes vLLM's LoRARequest of the adapter's folder.
    """
    with tempfile.TemporaryDirectory() as scratch:
        folder = str(Path(scratch) / recipe.name)
        settings = ExportSettings(
            dtype="float32", model=Model(path="base"), others="base", seed=seed
        )
        record = {"recipe": recipe.name, "seed": seed}
        write_adapter(folder, recipe, weights, settings, record)
        lm.lora_request = request(folder)
        try:
            yield
        finally:
            lm.lora_request = None


@contextmanager
def substituted(
    lm: "VLLM", recipe: Recipe | None, weights: StepWeights, others: str, seed: int
) -> Iterator[None]:
    """Within the block the engine holds the variant; after it, the base again.

    Without a recipe it is the base all the time.
    """
    if recipe is None:
        yield
        return
    paths = weights.paths()
    before = lm.model.collective_rpc("weights_fingerprint")
    try:
        call(lm, "substitute_weights", recipe.name, *paths, others, seed)
        yield
    finally:
        call(lm, "restore_weights", paths[0])
        if lm.model.collective_rpc("weights_fingerprint") != before:
            raise RuntimeError(f"vLLM did not take the base back after {recipe.name}")


def call(lm: "VLLM", method: str, *arguments: object) -> None:
    """Have all workers change their weights, and forget answers from the old ones."""
    lm.model.collective_rpc(method, args=arguments)
    lm.model.reset_prefix_cache()


class Substitution:
    """Methods that vLLM gives to each of its workers (`worker_extension_cls`)."""

    def substitute_weights(
        self,
        variant: str,
        base: list[str],
        checkpoint: str,
        factors: str,
        others: str,
        seed: int,
    ) -> None:
        """Take a variant's weights, one tensor after another."""
        weights = open_step_weights(base, checkpoint, factors)
        recipe = parse(variant)
        tensors = (
            (name, substituted_weight(name, recipe, weights, others, seed))
            for name in weights.base
        )
        self.take_weights(
            (name, tensor) for name, tensor in tensors if tensor is not None
        )

    def restore_weights(self, base: list[str]) -> None:
        """Take the base's weights back."""
        handles = index(list(map(Path, base)))
        self.take_weights((name, read(handles, name)) for name in handles)

    def take_weights(self, weights: Iterable[tuple[str, torch.Tensor]]) -> None:
        """Load tensors by the names that the engine's model has for them."""
        model = self.model_runner.model
        known = {name for name, _ in model.named_parameters()}
        model.load_weights(
            (engine_name(name, known), weight) for name, weight in weights
        )

    def weights_fingerprint(self) -> list[float]:
        """The sum of every parameter, the same only for the same weights."""
        parameters = self.model_runner.model.named_parameters()
        return [tensor.sum(dtype=torch.float64).item() for _, tensor in parameters]


def engine_name(name: str, known: set[str]) -> str:
    """A tensor's name in an engine, which wraps the layers that adapters may change.

    The seven maps may be parts of fused layers there, under names that are not known.
    """
    wrapped = f"{name.removesuffix('.weight')}.base_layer.weight"
    fused = locate(name) and any(".base_layer." in other for other in known)
    return wrapped if fused or wrapped in known else name
