"""Time, peak memory and accuracy of the decomposition against what the peers call.

After `make study`:

    make bench                                            everything, half an hour
    .venv/bin/python benchmarks/decomposition.py --quick  small shapes, two minutes

All methods are measured on one matrix before the next, in this process; memory in
processes of their own. The rows of a case go into the table when it is complete, and
cases in the table are not repeated: delete the table to measure again.
"""

import argparse
import platform
import sys
from datetime import datetime
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.append(str(ROOT / "workflow" / "scripts"))
NAMES = ("engine", "values", "decompose", "memory")
COLUMNS = (
    *("section", "case", "model", "rows", "columns", "spectrum", "method"),
    *("seconds", "repeats", "cosine", "sigma_error", "residual", "values_error"),
    *("gap", "identifiable", "peak_mb", "gigabytes", "error", "run"),
)


def parse() -> argparse.Namespace:
    """The command line; defaults are the embedded study's first run, last step."""
    results = ROOT / "results"
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("sections", nargs="*", metavar="SECTION", default=NAMES)
    parser.add_argument("--quick", action="store_true", help="small shapes only")
    parser.add_argument("--base", type=absolute, default=results / "prepare" / "model")
    parser.add_argument(
        "--checkpoint", type=absolute, default=last_checkpoint(results / "train")
    )
    parser.add_argument("--peers", default=ROOT / ".venv" / "peers", help="their venv")
    parser.add_argument("--table", type=Path, help="TSV that grows with each case")
    options = parser.parse_args()
    if unknown := set(options.sections) - set(NAMES):
        parser.error(f"unknown section {', '.join(unknown)}; there are {NAMES}")
    if options.checkpoint is None:
        parser.error("no checkpoint: run `make study` first, or give --checkpoint")
    name = "quick.tsv" if options.quick else "decomposition.tsv"
    options.table = options.table or results / "benchmarks" / name
    return options


def absolute(path: str) -> Path:
    """mergekit takes a relative path for a name on the hub."""
    return Path(path).resolve()


def last_checkpoint(folder: Path) -> Path | None:
    """The last exported step of the first run."""
    for run in sorted(folder.glob("*/checkpoints")):
        steps = run.glob("step-*.safetensors")
        return max(steps, key=lambda path: int(path.stem.split("-")[1]))
    return None


def identity() -> str:
    """When, on what, and with which versions this process measures."""
    import scipy
    import torch
    from methods import THREADS

    lines = Path("/proc/cpuinfo").read_text().splitlines()
    names = [line.split(":")[1].strip() for line in lines if "model name" in line]
    start = datetime.now().isoformat(" ", "minutes")
    where = f"{names[0] if names else platform.machine()}, {THREADS} threads"
    return f"{start}, {where}, torch {torch.__version__}, scipy {scipy.__version__}"


def main(options: argparse.Namespace) -> None:
    """Measure every case that the table does not have."""
    import pandas as pd
    from calls import engine, values
    from methods import limit_threads
    from processes import decompose, memory
    from tqdm import tqdm

    from rankone.files import replacing

    limit_threads()
    sections = dict(zip(NAMES, (engine, values, decompose, memory), strict=True))
    run, table = identity(), pd.DataFrame(columns=COLUMNS)
    if options.table.exists():
        table = pd.read_table(options.table)
    done = set(zip(table["section"], table["case"], strict=True))
    cases = [
        (section, case, measure)
        for section in options.sections
        for case, measure in sections[section](options)
    ]
    for section, case, measure in tqdm(cases, unit="case"):
        if (section, case) in done:
            continue
        key = {"section": section, "case": case, "run": run}
        rows = pd.DataFrame([key | row for row in measure()], columns=COLUMNS)
        table = pd.concat([table, rows]) if len(table) else rows
        with replacing(options.table) as temporary:
            table.to_csv(temporary, sep="\t", index=False)


if __name__ == "__main__":
    main(parse())
