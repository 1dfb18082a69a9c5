"""Reward that an intervention takes from training problems alone."""

import numpy as np
import pandas as pd

from rankone.analysis.reward_overfitting import MARGIN, overfitting_table
from rankone.claims.claim import CLAIMS, PRS, Claim, Evidence, Scenario
from rankone.claims.measures import only_table
from rankone.claims.simulated.answers import DRAWS, PROBLEMS
from rankone.claims.study_tables import StudyTables
from rankone.statistics.decision_rules import Verdict
from rankone.statistics.intervals import Estimate

SEEDS = 3
ARMS = {"full": None, "prs": "rank1", "shrunk": "shrunk", "random": "random_rank1"}


def implicit_overfitting(claim: Claim, study: StudyTables) -> list[Evidence]:
    """The verdicts on the arms with a substitution, just after the last one."""
    table = only_table(claim, study)
    rows = table[
        (table["quantity"] == "overfitting")
        & (table["role"] == "treatment")
        & (table["moment"] != "before")
        & (table["sampling"] == "sampled")
        & (table["test"] == "held_out")
    ]
    return [
        Evidence(
            value=row["value"],
            null_value=0.0,
            effect=Estimate(row["value"], row["low"], row["high"]),
            n=row["n"],
            verdict=Verdict(row["verdict"], row["rule"]),
            subject=row["arm"],
        )
        for _, row in rows.iterrows()
    ]


def probes(strength: float, seed: int) -> StudyTables:
    """A study where one arm loses the strength more reward on the problems trained on.

    Every arm with an intervention loses 0.1 on all problems; runs differ by a few
    points, on all problems alike.
    """
    rng, rows = np.random.default_rng(seed), []
    levels = {
        split: rng.beta(2, 2, PROBLEMS) * 0.8 + 0.1
        for split in ("train_probe", "held_out")
    }
    for arm in ARMS:
        for run in range(SEEDS):
            shift = 0.03 * rng.standard_normal()
            for split, level in levels.items():
                loss = 0.1 * (arm != "full")
                loss += strength * (arm == "prs" and split == "train_probe")
                rate = np.clip(level + shift - loss, 0, 1)
                rows.append(
                    pd.DataFrame(
                        {
                            "run": f"{arm}-seed{run}",
                            "step": 10,
                            "moment": "step" if arm == "full" else "after",
                            "split": split,
                            "problem": range(PROBLEMS),
                            "sampling": "sampled",
                            "correct": rng.binomial(4, rate),
                            "samples": 4,
                        }
                    )
                )
    table = with_start(pd.concat(rows))
    return StudyTables({"overfitting": overfitting_table(table, ARMS, seed, DRAWS)})


def with_start(table: pd.DataFrame) -> pd.DataFrame:
    """The table with a first moment of each run, in which nothing was solved."""
    first = table.assign(step=0, moment="step", correct=0)
    return pd.concat([first, table], ignore_index=True)


CLAIMS.add(
    Claim(
        name="implicit_overfitting",
        source=PRS,
        statement=(
            "Periodic Rank-1 Substitution gives up reward on training problems alone"
        ),
        estimator=(
            "reward lost against `full` on training problems minus that on held-out "
            "ones"
        ),
        null=(
            "arms that shrink the update, replace it by a random one, or remove rank 1"
        ),
        unit="share of answers",
        margin=MARGIN,
        tables=("overfitting",),
        all_arms=True,
        measure=implicit_overfitting,
        scenarios=(
            Scenario("all arms lose alike", probes),
            Scenario("training problems lose more", probes, (0.05, 0.1, 0.15, 0.2)),
        ),
        order=10,
    )
)
