"""The grammar of variants: names such as `0.5x_rank4_in_q_proj`, parsed without torch.

    [LAMBDAx_]KIND[_rescaled][_in_WHERE]...

KIND is one of variants/kinds with its number, if it has one; WHERE is modules joined by
`+`, layerA or layersA-B. config/README.md says what each part means.
"""

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache

from rankone.errors import UserError
from rankone.names import FULL, MODULES
from rankone.variants.kind import KINDS, Parameter, VariantKind, listed, names_of

LAYERS = re.compile(r"layer(?:s(\d+)-)?(\d+)")
# What vLLM allows as max_lora_rank (vllm.config.lora.MaxLoRARanks).
VLLM_LORA_RANKS = (1, 8, 16, 32, 64, 128, 256, 320, 512)
SYNTAX_EXAMPLES = ("0.5x_rank1", "rank1_in_q_proj+k_proj_in_layers0-9")


@dataclass(frozen=True)
class Recipe:
    """A parsed variant.

    `rank` is the K of a rank or the I of a direction (from 1), `percent` the P of a
    rank; `layers` are the first and the last one. None where a recipe has no such part.
    """

    name: str
    kind: VariantKind
    rank: int | None = None
    percent: float | None = None
    rescaled: bool = False
    scale: float = 1.0
    modules: frozenset[str] | None = None
    layers: tuple[int, int] | None = None

    @property
    def trained(self) -> bool:
        """Whether it is the trained checkpoint itself, with all its other tensors."""
        return self.name == FULL

    @property
    def low_rank(self) -> bool:
        """Whether the change of a matrix is a product of factors of known rank."""
        return self.kind.low_rank is not None

    def covers(self, layer: int, module: str) -> bool:
        """Whether it changes the matrix of that layer and module."""
        first, last = self.layers or (layer, layer)
        return first <= layer <= last and module in (self.modules or MODULES)

    def number(self, short: int) -> int:
        """Its K or I for a matrix with that short side; 0 where the name has none.

        P percent of the short side are rounded up.
        """
        if self.percent is None:
            return self.rank or 0
        # Rounded first: 1.1 % of 3000 are 33, in floating point a little more.
        return math.ceil(round(self.percent * short / 100, 9))

    def triplets(self, short: int) -> int:
        """Leading triplets that it needs of a matrix with that short side."""
        return min(self.number(short), short)

    def adapter_rank(self, short: int) -> int:
        """The rank of its change of such a matrix, for a recipe of low rank."""
        return self.kind.fixed_rank or self.triplets(short)


def longest_first(kinds: Iterable[VariantKind]) -> str:
    """A pattern of their names; of two that begin alike the longer one counts."""
    return "|".join(sorted((kind.name for kind in kinds), key=len, reverse=True))


@cache
def pattern(kinds: tuple[VariantKind, ...]) -> re.Pattern:
    """The grammar as a regular expression."""
    alone = [kind for kind in kinds if kind.parameter is Parameter.NONE]
    numbered = [kind for kind in kinds if kind.parameter is not Parameter.NONE]
    return re.compile(
        r"(?:(?P<scale>\d+(?:\.\d+)?)x_)?"
        rf"(?:(?P<whole>{longest_first(alone)})"
        rf"|(?P<kind>{longest_first(numbered)})"
        r"(?:(?P<percent>\d+(?:\.\d+)?)pct|(?P<number>\d+)))"
        r"(?P<rescaled>_rescaled)?"
        r"(?P<where>(?:_in_[a-z0-9_+-]+)?)"
    )


def parse(name: str) -> Recipe:
    """Parse a variant's name; UserError says which part is wrong."""
    kinds = KINDS.load()
    match = pattern(tuple(kinds.values())).match(name)
    if not match:
        raise unknown(name, "there is no such kind")
    if rest := name[match.end() :]:
        raise unknown(name, f"{rest!r} does not belong there")
    recipe = Recipe(
        name,
        kinds[match["whole"] or match["kind"]],
        int(match["number"]) if match["number"] else None,
        float(match["percent"]) if match["percent"] else None,
        bool(match["rescaled"]),
        float(match["scale"] or 1),
        *parse_scope(match["where"]),
    )
    if reason := flaw(recipe):
        raise unknown(name, reason)
    return recipe


def examples() -> list[str]:
    """Names of every kind, and with every other part of the grammar."""
    own = [example for kind in KINDS.load().values() for example in kind.examples]
    return [*own, *SYNTAX_EXAMPLES]


def unknown(name: str, reason: str) -> UserError:
    """The error for a name that is not in the grammar."""
    return UserError(
        f"Variant {name!r} is unknown: {reason}; expected e.g. "
        f"{', '.join(examples())} (config/README.md, Variants)."
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
    kind, percent, modules = recipe.kind, recipe.percent, recipe.modules
    strange = sorted((modules or set()) - set(MODULES))
    checks = {
        "LAMBDA must be more than 0": recipe.scale == 0,
        "K and I count from 1": recipe.rank == 0,
        "P must be more than 0 and at most 100": (
            percent is not None and not 0 < percent <= 100
        ),
        f"a {kind.name} has a number, not a percentage": (
            kind.parameter is Parameter.INDEX and percent is not None
        ),
        f"only {listed(names_of(lambda k: k.rescalable))} can be _rescaled": (
            recipe.rescaled and not kind.rescalable
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
            f"holds only {listed(names_of(lambda k: k.low_rank))}; name it in "
            "artefacts.models."
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
    rank = recipe.kind.fixed_rank or recipe.rank or 0
    if served_as_adapter(recipe, others) and rank > VLLM_LORA_RANKS[-1]:
        raise UserError(
            f"variants: {recipe.name} needs an adapter of rank {rank}, but vLLM serves "
            f"at most {VLLM_LORA_RANKS[-1]}; name fewer directions, or use "
            "evaluate.backend: hf."
        )
