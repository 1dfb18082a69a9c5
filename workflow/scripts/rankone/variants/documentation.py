"""The table of variant kinds in config/README.md.

After a change of a kind: `python -m rankone.variants.documentation config/README.md`,
with workflow/scripts on the path.
"""

import sys
from pathlib import Path

from rankone.errors import UserError
from rankone.variants.kind import KINDS, VariantKind

BEGIN = "<!-- variant kinds: made by rankone.variants.documentation -->"
END = "<!-- end of variant kinds -->"
HEADER = (
    "KIND",
    "what replaces the update `D = U S V'` of each matrix",
    "for example",
    "`_rescaled`",
    "adapter",
    "LoRA run",
)


def line(cells: tuple[str, ...]) -> str:
    """One row of a Markdown table."""
    return f"| {' | '.join(cells)} |"


def row(kind: VariantKind) -> str:
    """What the table says of a kind."""
    can = (kind.rescalable, kind.low_rank, kind.fits_lora)
    return line(
        (
            ", ".join(f"`{form}`" for form in kind.forms),
            f"{'control: ' if kind.control else ''}{kind.description}",
            ", ".join(f"`{example}`" for example in kind.examples),
            *("yes" if possible else "no" for possible in can),
        )
    )


def table() -> str:
    """The kinds of variants as a Markdown table."""
    rows = [row(kind) for kind in KINDS.load().values()]
    return "\n".join([line(HEADER), "|" + "---|" * len(HEADER), *rows])


def renewed(text: str) -> str:
    """A document with this table between its two marks; UserError without them."""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise UserError(
            f"The document has no place for the variant kinds; expected the lines "
            f"{BEGIN} and {END}."
        )
    return f"{before}{BEGIN}\n\n{table()}\n\n{END}{after}"


if __name__ == "__main__":
    document = Path(sys.argv[1])
    document.write_text(renewed(document.read_text("utf-8")), encoding="utf-8")
