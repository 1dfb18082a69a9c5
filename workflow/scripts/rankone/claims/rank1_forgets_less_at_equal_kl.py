"""Knowledge that rank 1 loses, beside other changes of the policy."""

import numpy as np
import pandas as pd

from rankone.analysis.forgetting import forgetting_tables
from rankone.claims.claim import CLAIMS, PRS, Claim, Evidence, Scenario
from rankone.claims.measures import only_table, signed
from rankone.claims.simulated.answers import DRAWS, ITEMS, answers
from rankone.claims.study_tables import StudyTables
from rankone.names import ALL_RUNS, BASE, FULL
from rankone.statistics.decision_rules import beyond_null

# Forward KL from the base, in nats, of the variants that forget.
KL = {"rank1": 0.1, "without_rank1": 0.2, "shrunk": 0.15, FULL: 0.3, "rank4": 0.25}


def forgets_less(claim: Claim, study: StudyTables) -> list[Evidence]:
    """Whether rank 1 forgets less than the other variants' curve says at its KL."""
    table = only_table(claim, study)
    rows = table[table["variant"] == "rank1"]
    if not len(rows):
        return []
    row = rows.iloc[0]
    effect = signed(row["excess"], row["excess_low"], row["excess_high"], -1)
    verdict = beyond_null(effect, claim.margin)
    others = row["forgetting"] - row["excess"]
    return [Evidence(row["forgetting"], others, effect, row["n"], verdict)]


def forgetting(strength: float, seed: int) -> StudyTables:
    """A study whose variants lose 0.4 of a score per nat, rank 1 the strength less."""
    rng = np.random.default_rng(seed)
    base = (rng.random(ITEMS) < 0.6).astype(float)
    scores = {BASE: base}
    for name, kl in KL.items():
        lost = 0.4 * kl - strength * (name == "rank1")
        scores[name] = answers(base, (0.6, 0.6 - lost), rng)
    items = pd.concat(
        pd.DataFrame(
            {
                "run": BASE if name == BASE else "full-seed0",
                "step": 1,
                "variant": name,
                "benchmark": "facts",
                "domain": "knowledge",
                "item": range(ITEMS),
                "score": values,
            }
        )
        for name, values in scores.items()
    )
    kl = pd.Series(KL, name="kl").rename_axis("variant").reset_index()
    kl = kl.assign(arm="full", run=ALL_RUNS, low=kl["kl"], high=kl["kl"])
    return StudyTables(forgetting_tables(items, kl, {"full": None}, seed, DRAWS))


CLAIMS.add(
    Claim(
        name="rank1_forgets_less_at_equal_kl",
        source=PRS,
        statement="Rank 1 forgets less than other changes that move the policy as far",
        estimator="mean knowledge score that rank 1 loses against the base",
        null="what the other variants lose at the same KL from the base (their curve)",
        unit="share of items",
        margin=0.02,
        tables=("forgetting",),
        measure=forgets_less,
        scenarios=(
            Scenario("forgetting follows the KL", forgetting),
            Scenario("rank 1 forgets less", forgetting, (0.05, 0.1, 0.2, 0.3)),
        ),
        order=180,
    )
)
