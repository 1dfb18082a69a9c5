"""Write the commits that hub revisions of a config are at now into it.

python workflow/scripts/pin.py config/paper.yaml
"""

import sys
from pathlib import Path

from rankone.data.hub import pin
from rankone.errors import UserError


def main(path: str) -> None:
    """Pin every `revision` of a config in place; its comments stay as they are."""
    text, pinned = pin(Path(path).read_text("utf-8"))
    Path(path).write_text(text, "utf-8")
    for repository, revision, commit in pinned:
        print(f"{repository}: {revision} is {commit}")
    print(f"{path}: {len(pinned)} revisions pinned")


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except UserError as error:
        sys.exit(f"Error: {error}")
