"""Give the calibration of the claims the identities that they have now.

    python -m rankone.claims.carry_over workflow/resources/calibration.tsv

Only after a restructuring that changed no number, such as a function that has moved to
another module; after any other change of a claim's test: make calibrate.
"""

import sys
from pathlib import Path

from rankone.claims.calibration import carried_over
from rankone.tables_io import read_table, write_table


def main(path: str | Path) -> None:
    """Rewrite the column `rules` of a calibration in place."""
    write_table(carried_over(read_table(path)), path)


if __name__ == "__main__":
    main(sys.argv[1])
