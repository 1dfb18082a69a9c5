"""Answers of the trained model that the base finds likely."""

import numpy as np
import pandas as pd

from rankone.analysis.likelihood import perplexity_table
from rankone.claims.claim import CLAIMS, LIMIT, Claim, Evidence, Scenario
from rankone.claims.measures import of_full, only_table, signed
from rankone.claims.simulated.answers import DRAWS, PROBLEMS, SAMPLES
from rankone.claims.study_tables import StudyTables
from rankone.names import BASE, FULL
from rankone.statistics.decision_rules import beyond_null


def likely_under_base(claim: Claim, study: StudyTables) -> list[Evidence]:
    """Whether the base finds the trained model's answers likelier than its own."""
    row = of_full(only_table(claim, study), lambda table: table["nll"].notna())
    if row is None:
        return []
    bounds = row["difference"], row["difference_low"], row["difference_high"]
    effect = signed(*bounds, -1)
    verdict = beyond_null(effect, claim.margin)
    return [Evidence(row["nll"], row["base_nll"], effect, row["n"], verdict)]


def likelihoods(strength: float, seed: int) -> StudyTables:
    """A study whose trained model's answers are that many nats per token likelier."""
    rng = np.random.default_rng(seed)
    level = rng.gamma(4, 0.15, PROBLEMS)
    parts = [
        pd.DataFrame(
            {
                "run": run,
                "variant": variant,
                "problem": range(PROBLEMS),
                "samples": SAMPLES,
                "correct": 0,
                "nll": level - shift + 0.1 * rng.standard_normal(PROBLEMS),
                "own_nll": level,
                "kl": 0.0,
            }
        )
        for run, variant, shift in (
            (BASE, BASE, 0.0),
            ("full-seed0", FULL, strength),
        )
    ]
    return StudyTables({"perplexity": perplexity_table(pd.concat(parts), seed, DRAWS)})


CLAIMS.add(
    Claim(
        name="answers_likely_under_base",
        source=LIMIT,
        statement="The trained model's answers are ones that the base finds likely",
        estimator="negative log-probability of its answers under the base, per token",
        null="that of the base's own answers to the same problems",
        unit="nats per token",
        margin=0.05,
        tables=("perplexity",),
        measure=likely_under_base,
        scenarios=(
            Scenario("answers as likely as before", likelihoods),
            Scenario("likelier answers", likelihoods, (0.05, 0.1, 0.2)),
        ),
        order=170,
    )
)
