"""The grammar of variants: names such as `rank4_rescaled`, parsed without torch."""

import re
from dataclasses import dataclass

from rankone.errors import UserError

GRAMMAR = re.compile(
    r"(?P<whole>full|shrunk)|"
    r"(?P<kind>without_rank|random_rank|rank)(?P<rank>[1-9]\d*)(?P<rescaled>_rescaled)?"
)
EXAMPLES = "full, rank1, rank1_rescaled, rank4, without_rank1, shrunk, random_rank1"


@dataclass(frozen=True)
class Recipe:
    """A parsed variant: its kind and, where it has one, its rank."""

    name: str
    kind: str
    rank: int = 1
    rescaled: bool = False


def parse(name: str, stored_rank: int) -> Recipe:
    """Parse a variant's name; UserError when unknown or beyond the stored factors."""
    match = GRAMMAR.fullmatch(name)
    if not match or (match["rescaled"] and match["kind"] != "rank"):
        raise UserError(f"variants: {name!r} is unknown; expected e.g. {EXAMPLES}.")
    if match["whole"]:
        return Recipe(name, name)
    rank = int(match["rank"])
    if rank > stored_rank:
        raise UserError(
            f"variants: {name} needs {rank} singular triplets, but decompose.rank "
            f"keeps {stored_rank}; raise decompose.rank."
        )
    return Recipe(name, match["kind"], rank, bool(match["rescaled"]))
