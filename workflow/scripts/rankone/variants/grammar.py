"""The grammar of variants: names such as `0.5x_rank4_in_q_proj`, parsed without torch.

    [LAMBDAx_]KIND[_rescaled][_in_WHERE]...

KIND is full, shrunk, bulk_matched, rankK, rankPpct, without_rankK, without_rankPpct,
random_rankK, random_rankPpct or directionI; WHERE is modules joined by `+`, layerA or
layersA-B. config/README.md says what each part means.
"""

import math
import re
from dataclasses import dataclass

from rankone.errors import UserError
from rankone.names import MODULES

GRAMMAR = re.compile(
    r"(?:(?P<scale>\d+(?:\.\d+)?)x_)?"
    r"(?:(?P<whole>full|shrunk|bulk_matched)"
    r"|(?P<kind>rank|random_rank|without_rank|direction)"
    r"(?:(?P<percent>\d+(?:\.\d+)?)pct|(?P<rank>\d+)))"
    r"(?P<rescaled>_rescaled)?"
    r"(?P<where>(?:_in_[a-z0-9_+-]+)?)"
)
LAYERS = re.compile(r"layer(?:s(\d+)-)?(\d+)")
RESCALABLE = ("rank", "random_rank")
LOW_RANK = (*RESCALABLE, "direction")
# What vLLM allows as max_lora_rank (vllm.config.lora.MaxLoRARanks).
VLLM_LORA_RANKS = (1, 8, 16, 32, 64, 128, 256, 320, 512)
CONTROL_KINDS = ("random_rank", "without_rank", "shrunk", "bulk_matched")
EXAMPLES = (
    "full, rank1, rank4_rescaled, rank5pct, without_rank1, random_rank1, direction3, "
    "shrunk, bulk_matched, 0.5x_rank1, rank1_in_q_proj+k_proj_in_layers0-9"
)


@dataclass(frozen=True)
class Recipe:
    """A parsed variant.

    `rank` is the K of a rank or the I of a direction (from 1), `percent` the P of a
    rank; `layers` are the first and the last one. None where a recipe has no such part.
    """

    name: str
    kind: str
    rank: int | None = None
    percent: float | None = None
    rescaled: bool = False
    scale: float = 1.0
    modules: frozenset[str] | None = None
    layers: tuple[int, int] | None = None

    @property
    def trained(self) -> bool:
        """Whether it is the trained checkpoint itself, with all its other tensors."""
        return self.name == "full"

    @property
    def low_rank(self) -> bool:
        """Whether the change of a matrix is a product of factors of known rank."""
        return self.kind in LOW_RANK

    def covers(self, layer: int, module: str) -> bool:
        """Whether it changes the matrix of that layer and module."""
        first, last = self.layers or (layer, layer)
        return first <= layer <= last and module in (self.modules or MODULES)

    def triplets(self, short: int) -> int:
        """Leading triplets that it needs of a matrix with that short side.

        P percent of the short side are rounded up; `rank` is cut to it.
        """
        if self.percent is None:
            return min(self.rank, short)
        # Rounded first: 1.1 % of 3000 are 33, in floating point a little more.
        return math.ceil(round(self.percent * short / 100, 9))


def parse(name: str) -> Recipe:
    """Parse a variant's name; UserError says which part is wrong."""
    match = GRAMMAR.match(name)
    if not match:
        raise unknown(name, "there is no such kind")
    if rest := name[match.end() :]:
        raise unknown(name, f"{rest!r} does not belong there")
    recipe = Recipe(
        name,
        match["whole"] or match["kind"],
        int(match["rank"]) if match["rank"] else None,
        float(match["percent"]) if match["percent"] else None,
        bool(match["rescaled"]),
        float(match["scale"] or 1),
        *parse_scope(match["where"]),
    )
    if reason := flaw(recipe):
        raise unknown(name, reason)
    return recipe


def unknown(name: str, reason: str) -> UserError:
    """The error for a name that is not in the grammar."""
    return UserError(
        f"Variant {name!r} is unknown: {reason}; expected e.g. {EXAMPLES} "
        "(config/README.md, Variants)."
    )


def parse_scope(where: str) -> tuple[frozenset[str] | None, tuple[int, int] | None]:
    """Modules and layers that are in every one of the parts `_in_WHERE`."""
    modules = layers = None
    for part in where.split("_in_")[1:]:
        if found := LAYERS.fullmatch(part):
            last = int(found[2])
            first = int(found[1] or last)
            layers = layers or (first, last)
            layers = max(first, layers[0]), min(last, layers[1])
        else:
            named = frozenset(part.split("+"))
            modules = named if modules is None else modules & named
    return modules, layers


def flaw(recipe: Recipe) -> str | None:
    """Why a recipe means nothing; None where it means something."""
    percent, modules = recipe.percent, recipe.modules
    strange = sorted((modules or set()) - set(MODULES))
    checks = {
        "LAMBDA must be more than 0": recipe.scale == 0,
        "K and I count from 1": recipe.rank == 0,
        "P must be more than 0 and at most 100": (
            percent is not None and not 0 < percent <= 100
        ),
        "a direction has a number, not a percentage": (
            recipe.kind == "direction" and percent is not None
        ),
        f"only {' and '.join(RESCALABLE)} can be _rescaled": (
            recipe.rescaled and recipe.kind not in RESCALABLE
        ),
        f"{', '.join(strange)} is none of {', '.join(MODULES)}, layerA, layersA-B": (
            strange
        ),
        "its modules exclude each other": modules is not None and not modules,
        "its range of layers is empty": (
            recipe.layers is not None and recipe.layers[0] > recipe.layers[1]
        ),
    }
    return next((reason for reason, found in checks.items() if found), None)


def check_adapter(recipe: Recipe, others: str) -> None:
    """Raise UserError for a variant that no LoRA adapter can hold."""
    if not recipe.low_rank:
        raise UserError(
            f"artefacts.adapters: {recipe.name} has no known low rank, and an adapter "
            "holds only rank, random_rank and direction; name it in artefacts.models."
        )
    if others == "trained":
        raise UserError(
            "artefacts.adapters: with `others: trained` a variant changes norms and "
            "embeddings, which an adapter cannot hold; name it in artefacts.models."
        )


def served_as_adapter(recipe: Recipe, others: str) -> bool:
    """Whether vLLM can serve a variant as a LoRA adapter beside the base."""
    return recipe.low_rank and others == "base"


def check_served(recipe: Recipe, others: str) -> None:
    """Raise UserError for a variant of more directions than vLLM serves."""
    if served_as_adapter(recipe, others) and recipe.kind != "direction":
        if (recipe.rank or 0) > VLLM_LORA_RANKS[-1]:
            raise UserError(
                f"variants: {recipe.name} needs an adapter of rank {recipe.rank}, but "
                f"vLLM serves at most {VLLM_LORA_RANKS[-1]}; name fewer directions, "
                "or use evaluate.backend: hf."
            )
