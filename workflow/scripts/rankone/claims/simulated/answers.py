"""Simulated answers whose truth is known, through the code of scores and samples."""

import numpy as np
import pandas as pd

from rankone.analysis.pass_at_k import pass_table
from rankone.claims.study_tables import Cell, Scores, StudyTables
from rankone.names import BASE, FULL
from rankone.statistics.intervals import bootstrap

DRAWS = 1000  # of the bootstrap
ITEMS, PROBLEMS, SAMPLES = 256, 48, 64
# Share of the items that a variant answers exactly as its reference does, and that one
# does whose accuracy is no more than this away.
COPIED, MOSTLY, LITTLE = 0.5, 0.9, 0.08


def answers(
    reference: np.ndarray,
    accuracies: tuple[float, float],
    rng: np.random.Generator,
    share: float = COPIED,
) -> np.ndarray:
    """Outcomes [items] of a variant, a share of which are the reference's.

    `accuracies` are the true ones of the reference and of the variant.
    """
    own, wanted = accuracies
    copied = rng.random(len(reference)) < share
    rest = (wanted - share * own) / (1 - share)
    fresh = rng.random(len(reference)) < rest
    return np.where(copied, reference, fresh).astype(float)


def resampled(accuracies: dict[str, float], rng: np.random.Generator) -> Scores:
    """Resampled scores of variants with these expected accuracies; the base first."""
    own = accuracies[BASE]
    scores = [(rng.random(ITEMS) < own).astype(float)]
    for accuracy in [each for name, each in accuracies.items() if name != BASE]:
        share = MOSTLY if abs(accuracy - own) < LITTLE else COPIED
        scores.append(answers(scores[0], (own, accuracy), rng, share))
    sample = bootstrap([np.stack(scores)[None]], rng, DRAWS)
    return Scores(sample, list(accuracies), ITEMS)


def scores(cell: Cell, accuracies: dict[str, float], seed: int) -> StudyTables:
    """A study with the one cell of scores that a claim reads."""
    found = resampled(accuracies, np.random.default_rng(seed))
    return StudyTables(last_scores={cell: found})


def kept(
    strength: float,
    seed: int,
    *,
    treated: str,
    cell: Cell,
    loss: float = 0.0,
    controls: float = 0.0,
) -> StudyTables:
    """A study where a variant loses `loss` of its reference's 0.6.

    Its controls lose `controls`, and the strength more.
    """
    found = {BASE: 0.6, FULL: 0.6, treated: 0.6 - loss}
    lost = ("without_rank1", "shrunk", "random_rank1")
    found |= dict.fromkeys(lost, 0.6 - (controls + strength))
    return scores(cell, found, seed)


def samples(lost: float, gained: float, seed: int) -> StudyTables:
    """A study whose trained model never solves some of the problems it could.

    `lost` is their share; `gained` is added to the rates of the others.
    """
    rng = np.random.default_rng(seed)
    rate = rng.beta(0.5, 0.8, PROBLEMS)
    after = np.minimum(rate + gained, 1) * (rng.random(PROBLEMS) >= lost)
    parts = [
        pd.DataFrame(
            {
                "run": run,
                "variant": variant,
                "problem": range(PROBLEMS),
                "samples": SAMPLES,
                "correct": rng.binomial(SAMPLES, rates),
            }
        )
        for run, variant, rates in ((BASE, BASE, rate), ("full-seed0", FULL, after))
    ]
    ks = [2**i for i in range(SAMPLES.bit_length())]
    return StudyTables({"pass_at_k": pass_table(pd.concat(parts), ks, seed, DRAWS)})
