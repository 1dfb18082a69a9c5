"""A user's own claim, one file: calibrated alone, and in the table of claims."""

import subprocess
import sys

import pandas as pd

import synthetic
from conftest import ROOT

SCRIPTS = ROOT / "workflow" / "scripts"
FILE = ROOT / "workflow" / "resources" / "calibration.tsv"
PLUGIN = """
from rankone.claims.claim import CLAIMS, Claim, Evidence, Scenario
from rankone.claims.measures import of_full, only_table, signed
from rankone.claims.simulated.answers import samples
from rankone.statistics.decision_rules import beyond_null


def solves_more(claim, study):
    row = of_full(only_table(claim, study), lambda table: table["k"] == 4)
    bounds = row["difference"], row["difference_low"], row["difference_high"]
    effect = signed(*bounds, 1)
    verdict = beyond_null(effect, claim.margin)
    return [Evidence(row["value"], 0.0, effect, row["n"], verdict)]


def better_rates(strength, seed):
    return samples(0.0, strength, seed)


CLAIMS.add(
    Claim(
        name="pass_at_4_rises",
        source="ours",
        statement="Four answers are right more often",
        estimator="pass@4 of the full update minus the base's",
        null="no difference",
        unit="share of problems",
        margin=0.05,
        tables=("pass_at_k",),
        measure=solves_more,
        scenarios=(
            Scenario("an unchanged model", better_rates),
            Scenario("better rates", better_rates, (0.2,)),
        ),
    )
)
"""
STUDY = """
import sys
import calibrate, claims
from rankone.registry import name_plugins

known, tables, item, *plugins = sys.argv[1:]
if __name__ == "__main__":
    name_plugins(plugins)
    sizes = {"nulls": 4, "effects": 2, "processes": 1}
    calibrate.main(known, "", **sizes, output="calibration.tsv")
    paths = {"pass_at_k": f"{tables}/pass_at_k.tsv"}
    names = ["overfitting", "tails", "anatomy", "overlap", "alignment_contrast"]
    names += ["trajectory", "perplexity", "forgetting", *paths]
    arm = {"arm": "full", "seed": 0, "draws": 500}
    read = names, item.split(","), "calibration.tsv"
    with open("provenance.json", "w") as file:
        file.write('{"runs": {}}')
    claims.main(paths, *read, "provenance.json", **arm, output="claims.tsv")
"""


def test_a_claim_of_a_plugin_is_calibrated_alone_and_stands_in_the_table(tmp_path):
    folder = synthetic.write_tables(tmp_path / "study")
    items = synthetic.write_evaluations(tmp_path, ["full-seed0", "full-seed1"], [2, 4])
    (tmp_path / "toy.py").write_text(PLUGIN)
    (tmp_path / "study.py").write_text(STUDY)
    paths = FILE, folder, ",".join(map(str, items)), tmp_path / "toy.py"
    run = subprocess.run(
        [sys.executable, tmp_path / "study.py", *map(str, paths)],
        env={"PYTHONPATH": str(SCRIPTS), "OMP_NUM_THREADS": "1"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stderr
    known = pd.read_csv(FILE, sep="\t", dtype=str)
    found = pd.read_csv(tmp_path / "calibration.tsv", sep="\t", dtype=str)
    toy = found[found["claim"] == "pass_at_4_rises"]
    assert toy["n"].tolist() == ["4", "2"] and len(found) == len(known) + 2
    assert set(map(tuple, known.values)) < set(map(tuple, found.values))
    table = pd.read_csv(tmp_path / "claims.tsv", sep="\t")
    assert table["claim"].iloc[-1] == "pass_at_4_rises"
    assert {"pass_at_1_rises", "base_overtakes"} < set(table["claim"])
    assert table["rules"].iloc[-1] == toy["rules"].iloc[0]
