"""What a kind of variant is; every kind is one file in `variants/kinds`.

A kind makes the change of one weight matrix in one of three ways: as a product of known
low rank, as the update times a number, or as any other matrix. All that is said of a
kind anywhere is said in its declaration: the grammar, figures, adapters, interventions
and config/README.md read it, so torch is imported inside its functions alone.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

from rankone.errors import UserError
from rankone.registry import Registry

NAME = re.compile(r"[a-z]+(_[a-z]+)*")


class Parameter(Enum):
    """What stands behind the kind in a variant's name.

    Nothing; the number of leading triplets, also as per cent of the short side; or the
    index of one triplet, from 1.
    """

    NONE = ("",)
    COUNT = ("K", "Ppct")
    INDEX = ("I",)


@dataclass(frozen=True, kw_only=True)
class VariantKind:
    """A kind of variant: its name, what it makes of an update, where it can be used.

    `label` is its name in figures, `description` what replaces the update D = U S V',
    `examples` are names of variants for messages and docs. Exactly one of these is
    given; `update` is an apply.MatrixUpdate, `number` the K, the I, or the K that P per
    cent are (0 without a parameter):
    - `low_rank(update, number)`: left [out, k], sigma [k], right [k, in] of the change;
    - `share(update)`: the change is the update times this;
    - `dense(update, number)`: the change [out, in].
    """

    name: str
    label: str
    description: str
    examples: tuple[str, ...]
    order: int = 1000
    parameter: Parameter = Parameter.NONE
    # A control has something of the update, but not the part whose effect is claimed.
    control: bool = False
    # The update itself: as an intervention it changes nothing.
    noop: bool = False
    low_rank: Callable[..., tuple] | None = None
    share: Callable[..., float] | None = None
    dense: Callable | None = None
    # Of a low-rank kind: whether a name may have `_rescaled`.
    rescalable: bool = False
    # Of a low-rank kind: the rank of its change, where it is not the K of the name.
    fixed_rank: int | None = None
    # Of a dense kind: the same as `low_rank` for an update all of whose triplets are in
    # `factors`. Without it the factors of a LoRA run cannot hold the kind.
    from_all_triplets: Callable[..., tuple] | None = None
    # Whether its change spans the K leading directions, on which an optimizer's first
    # moment can be projected (`optimizer_state: project`).
    projects_moment: bool = False

    def __post_init__(self):
        if not NAME.fullmatch(self.name) or "_in_" in self.name:
            raise UserError(
                f"The variant kind {self.name!r} has no possible name; expected lower-"
                "case words joined by `_`, without `_in_`."
            )
        ways = [w for w in (self.low_rank, self.share, self.dense) if w is not None]
        if len(ways) != 1:
            raise UserError(
                f"The variant kind {self.name!r} has {len(ways)} of low_rank, share "
                "and dense; give exactly one."
            )
        if self.low_rank and self.parameter is Parameter.NONE and not self.fixed_rank:
            raise UserError(
                f"The variant kind {self.name!r} is of low rank, but neither its name "
                "nor fixed_rank says which; give fixed_rank."
            )

    @property
    def forms(self) -> list[str]:
        """How it is written in a name: `rankK`, `rankPpct`."""
        return [f"{self.name}{parameter}" for parameter in self.parameter.value]

    @property
    def fits_lora(self) -> bool:
        """Whether the factors of a LoRA run can hold it, if their rank suffices."""
        return any((self.low_rank, self.share, self.from_all_triplets))


KINDS: Registry[VariantKind] = Registry("The variant kind", "rankone.variants.kinds")


def names_of(wanted: Callable[[VariantKind], object]) -> list[str]:
    """Names of the kinds for which that holds, in their order."""
    return [name for name, kind in KINDS.load().items() if wanted(kind)]


def listed(names: list[str], word: str = "and") -> str:
    """Names as a sentence has them: `a, b and c`."""
    *most, last = names
    return f"{', '.join(most)} {word} {last}" if most else last
