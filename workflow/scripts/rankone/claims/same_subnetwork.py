"""Entries that runs with other seeds change as well."""

from functools import partial

from rankone.claims.claim import CLAIMS, PATH, Claim, Scenario
from rankone.claims.measures import over_layers
from rankone.claims.scenarios import STRENGTHS
from rankone.claims.simulated.effects import sparse
from rankone.claims.study_tables import StudyTables


def overlap(strength: float, seed: int, **plan) -> StudyTables:
    """The table of overlaps of two simulated runs; `plan` is that of WeightScenario."""
    from rankone.claims.simulated import weights

    made = weights.WeightScenario(strength=strength, **plan)
    table = weights.geometry_table(made, seed, weights.overlap, runs=2)
    return StudyTables({"overlap": table})


CLAIMS.add(
    Claim(
        name="same_subnetwork",
        source=PATH,
        statement="Runs with other seeds change the same entries",
        estimator="Jaccard index of the changed entries of two runs, bfloat16",
        null=(
            "changes that depend only on how far an entry is from the next bfloat16 "
            "number"
        ),
        unit="Jaccard index",
        margin=0.01,
        tables=("overlap",),
        measure=partial(
            over_layers,
            where={"statistic": "jaccard", "null": "margin", "view": "bfloat16"},
            sign=1,
        ),
        scenarios=(
            Scenario("noise in two runs", overlap),
            Scenario("two runs stored in bfloat16", partial(overlap, rounded=True)),
            Scenario("sparse", partial(overlap, effect=sparse, shared=True), STRENGTHS),
        ),
        order=140,
    )
)
