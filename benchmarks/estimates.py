"""What the jobs of finished studies took, beside what is estimated for them.

.venv/bin/python benchmarks/estimates.py TABLE FOLDER CONFIG [FOLDER CONFIG ...]
"""

import sys
from pathlib import Path

import pandas as pd
import yaml

ROOT = Path(__file__).resolve().parents[1]
sys.path.append(str(ROOT / "workflow" / "scripts"))

from rankone.study import estimates  # noqa: E402
from rankone.study.config import Config, read  # noqa: E402
from rankone.study.runs import expand  # noqa: E402


def read_config(path: Path) -> Config:
    """The typed config of a file."""
    return read(yaml.safe_load(path.read_text()))


def work(rule: str, job: str, folder: Path, config: Config) -> int:
    """The work of a job in units of its rule's cost."""
    run, _, step = job.partition("-step-")
    if rule == "train":
        return estimates.measurements(config, expand(config)[run].intervention)
    if rule in ("evaluate", "sample"):
        table = folder / "results" / rule / run / f"step-{step}.parquet"
        return pd.read_parquet(table, columns=["variant"])["variant"].nunique()
    if rule == "trajectory":
        return len(config.schedule.export_steps)
    return int(rule == "tails" and run != "base")


def compared(folder: Path, config: Config) -> pd.DataFrame:
    """One row per job of the heavy rules: measured and estimated seconds and memory."""
    costs, rows = estimates.costs(config), []
    for file in sorted((folder / "results" / "resources").glob("*.tsv")):
        rule, _, job = file.stem.partition("-")
        if rule in costs:
            measured = pd.read_csv(file, sep="\t").iloc[-1]
            amount = work(rule, job, folder, config)
            row = {"study": config.study, "rule": rule, "job": job, "work": amount}
            row |= {"seconds": round(measured["s"])}
            row |= {"estimated_seconds": round(costs[rule].seconds(amount))}
            row |= {"peak_mb": round(measured["max_rss"])}
            row |= {"requested_mb": estimates.megabytes(costs[rule], 1)}
            rows.append(row)
    return pd.DataFrame(rows)


if __name__ == "__main__":
    table, *studies = map(Path, sys.argv[1:])
    pairs = zip(studies[::2], studies[1::2], strict=True)
    found = pd.concat(compared(folder, read_config(path)) for folder, path in pairs)
    found.to_csv(table, sep="\t", index=False)
    sums = found.groupby(["study", "rule"])[["seconds", "estimated_seconds"]].sum()
    print(sums.assign(ratio=sums["estimated_seconds"] / sums["seconds"]).round(2))
