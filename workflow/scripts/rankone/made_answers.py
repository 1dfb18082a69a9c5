"""Made-up answers whose truth is known, through the code of scores and samples."""

import numpy as np
import pandas as pd

from rankone.claims import HELD_OUT, Cell
from rankone.overfitting import overfitting_table
from rankone.sampling import pass_table
from rankone.statistics import bootstrap
from rankone.tables import BASE, FULL

DRAWS = 1000  # of the bootstrap
ITEMS, PROBLEMS, SAMPLES, SEEDS = 256, 48, 64, 3
# Share of the items that a variant answers exactly as its reference does.
COPIED = 0.6
ARMS = {"full": None, "prs": "rank1", "shrunk": "shrunk", "random": "random_rank1"}


def answers(
    reference: np.ndarray, accuracy: float, rng: np.random.Generator
) -> np.ndarray:
    """Outcomes [items] with that expected accuracy, correlated with the reference's."""
    copied = rng.random(len(reference)) < COPIED
    rest = (accuracy - COPIED * reference.mean()) / (1 - COPIED)
    fresh = rng.random(len(reference)) < rest
    return np.where(copied, reference, fresh).astype(float)


def cell(accuracies: dict[str, float], rng: np.random.Generator) -> Cell:
    """Resampled scores of variants with these expected accuracies; the base first."""
    base = (rng.random(ITEMS) < accuracies[BASE]).astype(float)
    scores = [base] + [
        answers(base, accuracy, rng)
        for name, accuracy in accuracies.items()
        if name != BASE
    ]
    sample = bootstrap([np.stack(scores)[None]], rng, DRAWS)
    return Cell(sample, list(accuracies), ITEMS)


def scores(
    place: tuple[str, str], accuracies: dict[str, float], seed: int
) -> dict[str, dict]:
    """The one cell of a study that a claim reads."""
    return {"cells": {place: cell(accuracies, np.random.default_rng(seed))}}


def gains(rank1: float, controls: float, seed: int) -> dict:
    """A study whose base solves 0.35, rank 1 and the controls so much more."""
    found = {BASE: 0.35, "rank1": 0.35 + rank1, "random_rank1": 0.35}
    found |= dict.fromkeys(("without_rank1", "shrunk"), 0.35 + controls)
    return scores(HELD_OUT, found, seed)


def kept(treated: str, place: tuple, loss: float, controls: float, seed: int) -> dict:
    """A study where a variant loses so much of its reference's 0.6, and controls so."""
    found = {BASE: 0.6, FULL: 0.6, treated: 0.6 - loss}
    lost = ("without_rank1", "shrunk", "random_rank1")
    found |= dict.fromkeys(lost, 0.6 - controls)
    return scores(place, found, seed)


def probes(excess: float, seed: int) -> dict[str, pd.DataFrame]:
    """A study where one arm loses so much more reward on the problems trained on.

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
                loss += excess * (arm == "prs" and split == "train_probe")
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
    table = start(pd.concat(rows))
    return {"overfitting": overfitting_table(table, ARMS, seed, DRAWS)}


def start(table: pd.DataFrame) -> pd.DataFrame:
    """The table with a first moment of each run, in which nothing was solved."""
    first = table.assign(step=0, moment="step", correct=0)
    return pd.concat([first, table], ignore_index=True)


def samples(lost: float, gained: float, seed: int) -> dict[str, pd.DataFrame]:
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
    return {"pass_at_k": pass_table(pd.concat(parts), ks, seed, DRAWS)}
