"""Interventions: every update replaced by a part of it, again and again.

Periodic Rank-1 Substitution is the intervention of arXiv 2605.06523. The paper does not
publish its period, its scale or what becomes of the optimizer's state; all of them are
parameters here, so this is our operationalisation.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from peft import PeftModel
from peft.tuners.lora import LoraLayer
from torch.optim import Optimizer
from transformers import PreTrainedModel

from rankone.errors import UserError
from rankone.linalg.svd import Factors, leading, low_rank
from rankone.training import settings
from rankone.variants.apply import MatrixUpdate, balanced, change, change_factors
from rankone.variants.grammar import Recipe, parse
from rankone.weights.checkpoints import WeightMap, read, whole
from rankone.weights.updates import locate

KEPT_RANK = 1  # triplets that every measurement needs


@dataclass(frozen=True)
class Intervention:
    """What replaces the updates, and when.

    `reference` is what updates are taken from: the base, or the weights after the last
    substitution. `others` are the tensors that the recipe does not change: kept, or
    reset to the reference. `optimizer_state` of the changed tensors is kept, zeroed
    (moments and step count), or its first moment projected on the kept directions.
    """

    period: int
    recipe: Recipe
    reference: str
    others: str
    optimizer_state: str
    from_step: int
    to_step: int | None

    def due(self, step: int) -> bool:
        """Whether a substitution follows that optimizer step."""
        last = step if self.to_step is None else self.to_step
        return step % self.period == 0 and self.from_step <= step <= last

    def last_before(self, step: int) -> int | None:
        """The step of the last substitution up to and with `step`; None if none."""
        return next((s for s in range(step, 0, -1) if self.due(s)), None)


def make(given: settings.Intervention | None) -> Intervention | None:
    """The intervention of a run's settings; None for a run without one."""
    if given is None:
        return None
    return Intervention(**given.model_dump() | {"recipe": parse(given.recipe)})


def needed_triplets(recipe: Recipe, shape: Iterable[int]) -> int:
    """Triplets of a matrix of that shape that a measurement and the recipe need."""
    return max(KEPT_RANK, recipe.triplets(min(shape)))


class FullUpdates:
    """The weights of a model that trains all of them.

    `names` are the matrices that recipes change, `others` every other tensor.
    `reference` has the weights that updates are taken from.
    """

    def __init__(self, model: PreTrainedModel, reference: WeightMap):
        self.tensors = dict(model.named_parameters())
        self.names = sorted(filter(locate, self.tensors))
        self.others = sorted(self.tensors.keys() - self.names)
        self.reference = reference

    def shape(self, name: str) -> torch.Size:
        """Rows and columns of a matrix."""
        return self.tensors[name].shape

    def reference_weight(self, name: str) -> torch.Tensor:
        """The reference's tensor, where the parameter is."""
        return read(self.reference, name).to(self.tensors[name].device)

    def update(self, name: str) -> torch.Tensor:
        """What training added to a matrix [out, in]."""
        return whole(self.tensors[name]) - self.reference_weight(name)

    def factors(self, name: str, rank: int) -> Factors:
        """Leading triplets of the update."""
        return leading(self.update(name), rank)

    def trained(self, name: str) -> list[torch.nn.Parameter]:
        """The parameters behind a tensor."""
        return [self.tensors[name]]

    def set_update(
        self, name: str, recipe: Recipe, factors: Factors, seed: str
    ) -> None:
        """Replace the update by a recipe's change; a no-op changes no bit."""
        if recipe.kind.noop and recipe.scale == 1:
            return
        update = MatrixUpdate(factors, lambda: self.update(name), seed, name)
        new = self.reference_weight(name) + change(recipe, update)
        self.tensors[name].copy_(new)

    def reset(self, name: str) -> None:
        """Put the reference's tensor back."""
        self.tensors[name].copy_(self.reference_weight(name))


class AdapterUpdates:
    """The same for a LoRA run, whose updates are products of factors."""

    def __init__(self, model: PeftModel):
        self.layers = {
            f"{path}.weight": layer
            for path, layer in model.get_base_model().named_modules()
            if isinstance(layer, LoraLayer)
        }
        self.names = sorted(filter(locate, self.layers))
        self.others = sorted(self.layers.keys() - self.names)

    def trained(self, name: str) -> list[torch.nn.Parameter]:
        """The factors A [r, in] and B [out, r]."""
        layer = self.layers[name]
        (active,) = layer.active_adapters
        return [layer.lora_A[active].weight, layer.lora_B[active].weight]

    def scaling(self, name: str) -> float:
        """The update is this times B A."""
        layer = self.layers[name]
        return layer.scaling[layer.active_adapters[0]]

    def shape(self, name: str) -> tuple[int, int]:
        """Rows and columns of the update."""
        first, second = self.trained(name)
        return second.shape[0], first.shape[1]

    def factors(self, name: str, rank: int) -> Factors:
        """All triplets of the update (`rank` is at most the adapter's)."""
        first, second = map(whole, self.trained(name))
        return low_rank(self.scaling(name) * second, first, len(first))

    def set_update(
        self, name: str, recipe: Recipe, factors: Factors, seed: str
    ) -> None:
        """Replace the update by a recipe's change.

        Rows of A that it does not need stay, with zeros in B, so that they can be used
        again; new rows get the mean norm of the old ones.
        """
        first, second = self.trained(name)
        update = MatrixUpdate(factors, self.unknown, seed, name)
        if recipe.kind.share:
            second.mul_(recipe.scale * recipe.kind.share(update))
            return
        left, right = new_factors(recipe, update, min(self.shape(name)))
        rank, norms = len(right), torch.linalg.vector_norm(right, dim=1)
        factor = torch.linalg.vector_norm(first, dim=1).mean() / norms
        factor = torch.where(norms > 0, factor, torch.ones_like(factor))
        second.zero_()
        second[:, :rank] = left / (factor * self.scaling(name))
        first[:rank] = torch.where(
            norms[:, None] > 0, factor[:, None] * right, first[:rank]
        )

    def reset(self, name: str) -> None:
        """Make the update zero; A stays, so that it can be used again."""
        self.trained(name)[1].zero_()

    def unknown(self) -> torch.Tensor:
        """A LoRA update has no more triplets than its rank."""
        raise UserError(
            "intervention.recipe needs more directions than lora.r has; name fewer."
        )


def new_factors(
    recipe: Recipe, update: MatrixUpdate, short: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Factors [out, k] and [k, in] of the change of a LoRA update of all its triplets.

    `short` is the matrix's short side.
    """
    if part := recipe.kind.from_all_triplets:
        return balanced(recipe, update, part(update, recipe.number(short)))
    return change_factors(recipe, update)


def updates_of(
    model: PreTrainedModel | PeftModel, base: WeightMap
) -> FullUpdates | AdapterUpdates:
    """The trained weights of a model as updates."""
    return (
        AdapterUpdates(model)
        if isinstance(model, PeftModel)
        else FullUpdates(model, base)
    )


@torch.no_grad()
def substitute(
    weights: FullUpdates | AdapterUpdates,
    intervention: Intervention,
    measured: dict[str, Factors],
    seed: str,
    optimizer: Optimizer,
) -> None:
    """Carry out an intervention: weights first, then the optimizer's state.

    `measured` has the factors of every matrix, `seed` decides random recipes.
    """
    recipe = intervention.recipe
    changed = [name for name in weights.names if recipe.covers(*locate(name))]
    left_alone = [*(set(weights.names) - set(changed)), *weights.others]
    for name in changed:
        weights.set_update(name, recipe, measured[name], seed)
        for parameter in weights.trained(name):
            update_optimizer_state(optimizer, parameter, intervention, measured[name])
    for name in left_alone if intervention.others == "reset" else ():
        weights.reset(name)
        for parameter in weights.trained(name):
            update_optimizer_state(optimizer, parameter, intervention, None)
    broadcast_from_rank0(weights, optimizer)


def broadcast_from_rank0(
    weights: FullUpdates | AdapterUpdates, optimizer: Optimizer
) -> None:
    """Give every process the first one's weights and moments.

    An SVD may differ in its last bits from one device to another.
    """
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        for name in (*weights.names, *weights.others):
            for parameter in weights.trained(name):
                torch.distributed.broadcast(parameter.data, 0)
                state = optimizer.state.get(parameter, {})
                if "exp_avg" in state:
                    torch.distributed.broadcast(state["exp_avg"], 0)


def update_optimizer_state(
    optimizer: Optimizer,
    parameter: torch.nn.Parameter,
    intervention: Intervention,
    factors: Factors | None,
) -> None:
    """Apply the policy to Adam's moments of one parameter.

    The second moment has no direction, so a projection leaves it as it is.
    """
    state = optimizer.state.get(parameter, {})
    if intervention.optimizer_state == "zero":
        for value in state.values():
            if torch.is_tensor(value):
                value.zero_()
    elif intervention.optimizer_state == "project" and factors and state:
        kept = slice(intervention.recipe.triplets(min(parameter.shape)))
        left, right = factors.left[:, kept], factors.right[kept]
        moment = state["exp_avg"]
        moment.copy_(left @ (left.T @ moment @ right.T) @ right)


def moment_norms(
    optimizer: Optimizer, parameters: list[torch.nn.Parameter]
) -> dict[str, float]:
    """Frobenius norms of Adam's moments of a tensor; NaN where there are none."""
    found = {}
    for moment in ("exp_avg", "exp_avg_sq"):
        parts = [optimizer.state.get(p, {}).get(moment) for p in parameters]
        norms = [torch.linalg.vector_norm(x).item() for x in parts if x is not None]
        known = len(norms) == len(parameters)
        found[f"{moment}_norm"] = sum(n * n for n in norms) ** 0.5 if known else None
    return found
