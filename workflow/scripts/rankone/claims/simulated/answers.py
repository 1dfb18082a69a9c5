"""Made-up answers whose truth is known, through the code of scores and samples."""

import numpy as np
import pandas as pd

from rankone.analysis.forgetting import forgetting_tables
from rankone.analysis.likelihood import perplexity_table
from rankone.analysis.pass_at_k import pass_table
from rankone.analysis.reward_overfitting import overfitting_table
from rankone.claims.registry import HELD_OUT_CELL, Scores
from rankone.names import ALL_RUNS, BASE, FULL
from rankone.statistics.intervals import bootstrap

DRAWS = 1000  # of the bootstrap
ITEMS, PROBLEMS, SAMPLES, SEEDS = 256, 48, 64, 3
# Share of the items that a variant answers exactly as its reference does, and that one
# does whose accuracy is no more than this away.
COPIED, MOSTLY, LITTLE = 0.5, 0.9, 0.08
# Forward KL from the base, in nats, of the variants that forget.
KL = {"rank1": 0.1, "without_rank1": 0.2, "shrunk": 0.15, FULL: 0.3, "rank4": 0.25}
ARMS = {"full": None, "prs": "rank1", "shrunk": "shrunk", "random": "random_rank1"}


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


def scores(
    place: tuple[str, str], accuracies: dict[str, float], seed: int
) -> dict[str, dict]:
    """The one cell of a study that a claim reads."""
    return {"last_scores": {place: resampled(accuracies, np.random.default_rng(seed))}}


def gains(rank1: float, controls: float, seed: int) -> dict:
    """A study whose base solves 0.35, rank 1 and the controls so much more."""
    found = {BASE: 0.35, "rank1": 0.35 + rank1, "random_rank1": 0.35}
    found |= dict.fromkeys(("without_rank1", "shrunk"), 0.35 + controls)
    return scores(HELD_OUT_CELL, found, seed)


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
    table = with_start(pd.concat(rows))
    return {"overfitting": overfitting_table(table, ARMS, seed, DRAWS)}


def with_start(table: pd.DataFrame) -> pd.DataFrame:
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


def likelihoods(likelier: float, seed: int) -> dict[str, pd.DataFrame]:
    """A study whose trained model's answers are so many nats per token likelier."""
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
            ("full-seed0", FULL, likelier),
        )
    ]
    return {"perplexity": perplexity_table(pd.concat(parts), seed, DRAWS)}


def forgetting(spared: float, seed: int) -> dict[str, pd.DataFrame]:
    """A study whose variants lose 0.4 of a score per nat, rank 1 so much less."""
    rng = np.random.default_rng(seed)
    base = (rng.random(ITEMS) < 0.6).astype(float)
    scores = {BASE: base}
    for name, kl in KL.items():
        lost = 0.4 * kl - spared * (name == "rank1")
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
    return forgetting_tables(items, kl, {"full": None}, seed, DRAWS)
