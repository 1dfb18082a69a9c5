"""Write Rankone's benchmarks as tasks for lm-eval's own command line.

python workflow/scripts/write_tasks.py tasks
RANKONE_DATA=results/prepare lm_eval run --include_path tasks --tasks knowledge ...
"""

import sys

from rankone.errors import UserError
from rankone.evaluation.tasks import write_own_tasks

if __name__ == "__main__":
    try:
        print(f"lm_eval run --include_path {write_own_tasks(*sys.argv[1:])}")
    except UserError as error:
        sys.exit(f"Error: {error}")
