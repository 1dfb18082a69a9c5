"""Tables of sampled answers: counts, perplexity under the base, and KL from the base.

Sources: arXiv 2504.13837 (answers of the trained model that the base finds likely are
not new to it); RL's Razor, arXiv 2509.04259 (forward KL on the new task).
"""

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd

from rankone.analysis.pass_at_k import (
    CELL,
    KEY,
    Group,
    groups,
    problem_cube,
    resampled_null,
)
from rankone.names import BASE
from rankone.statistics.intervals import DRAWS, percentile, resample

ANSWER_COLUMNS = [*KEY, "sample", "correct", "tokens", "logp", "base_logp"]
KL_COLUMNS = [*KEY, "sample", "kl"]
PERPLEXITY_TABLE = [
    *(*CELL, "nll", "low", "high", "own_nll", "base_nll"),
    *("difference", "difference_low", "difference_high", "n", "runs"),
]
KL_TABLE = [*CELL, "kl", "low", "high", "n", "runs"]


def count_table(answers: pd.DataFrame, kl: pd.DataFrame) -> pd.DataFrame:
    """One row per run, variant and problem: samples, correct, and means over answers.

    `nll` is the mean negative log-probability of a token of the own answers under the
    base, `own_nll` under the model that gave them, in nats, of each answer by itself;
    `kl` is that of a whole answer of the base.
    """
    rates = {
        "nll": -answers["base_logp"] / answers["tokens"],
        "own_nll": -answers["logp"] / answers["tokens"],
    }
    counts = answers.assign(**rates).groupby(KEY, sort=False)
    counts = counts.agg(
        samples=("correct", "size"),
        correct=("correct", "sum"),
        nll=("nll", "mean"),
        own_nll=("own_nll", "mean"),
    )
    return counts.assign(kl=kl.groupby(KEY)["kl"].mean()).reset_index()


def null_table(counts: pd.DataFrame, ks: Sequence[int], seed: int) -> pd.DataFrame:
    """resampled_null() of every variant."""
    variants = counts.loc[counts["variant"] != BASE, "variant"].unique()
    found = [resampled_null(counts, variant, ks, seed) for variant in variants]
    return pd.concat(found, ignore_index=True)


def perplexity_table(
    counts: pd.DataFrame, seed: int, draws: int = DRAWS
) -> pd.DataFrame:
    """How likely the base finds the answers of every variant, beside its own.

    One row (PERPLEXITY_TABLE) per arm, run and variant. All are means over problems of
    nats per token; exp(nll) is a perplexity. `difference` is `nll` minus `base_nll`,
    that of the base's own answers, paired by problem.
    """
    rows = []
    for group, observed, drawn in _means(counts, "nll", seed, draws):
        own = problem_cube(counts, "own_nll", group.runs, group.variants)
        own = own.mean(axis=(0, 2))
        for index, variant in group.shown():
            found = percentile(observed[index], drawn[:, index])
            row = {**group.cell, "variant": variant, "own_nll": own[index]}
            row |= {"base_nll": observed[0]} | found.columns("nll")
            if variant != BASE:
                found = percentile(
                    observed[index] - observed[0], drawn[:, index] - drawn[:, 0]
                )
                row |= found.columns("difference", "difference_")
            rows.append(row)
    return pd.DataFrame(rows, columns=PERPLEXITY_TABLE)


def kl_table(counts: pd.DataFrame, seed: int, draws: int = DRAWS) -> pd.DataFrame:
    """Forward KL(base || variant) of an answer, in nats: mean over problems.

    One row (KL_TABLE) per arm, run and variant. Problems are resampled, not answers:
    those to one problem are not independent. With few problems and a long upper tail
    the upper bound is too low.
    """
    rows = []
    for group, observed, drawn in _means(counts, "kl", seed, draws):
        for index, variant in group.shown():
            found = percentile(observed[index], drawn[:, index])
            row = {**group.cell, "variant": variant}
            rows.append(row | found.columns("kl"))
    return pd.DataFrame(rows, columns=KL_TABLE)


def _means(
    counts: pd.DataFrame, column: str, seed: int, draws: int
) -> Iterator[tuple[Group, np.ndarray, np.ndarray]]:
    """Every group with its means: observed (V,), resampled (draws, V).

    Problems are resampled, with several runs the runs as well.
    """
    for group in groups(counts):
        cube = problem_cube(counts, column, group.runs, group.variants)
        observed, drawn = resample([cube], np.random.default_rng(seed), draws)
        yield group, observed[0], drawn[0]
