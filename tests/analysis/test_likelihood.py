"""Tables of sampled answers have the planted perplexities and KL, by problem."""

import numpy as np
import pandas as pd
import pytest

from rankone.analysis.likelihood import (
    KL_TABLE,
    PERPLEXITY_TABLE,
    count_table,
    kl_table,
    null_table,
    perplexity_table,
)
from rankone.analysis.pass_at_k import NULL_COLUMNS

PROBLEMS, SAMPLES = 30, 4
MODELS = [("base", "base"), ("full-seed0", "full"), ("full-seed0", "rank1")]


def rng(seed=0):
    return np.random.default_rng(seed)


def rows(run, variant, nll, kl, own_nll=1.0):
    """Answers and KL of one model; `nll` and `kl` are (problems, samples)."""
    keys = {
        "problem": np.repeat([f"p{i}" for i in range(len(nll))], nll.shape[1]),
        "sample": np.tile(np.arange(nll.shape[1]), len(nll)),
    }
    frame = pd.DataFrame(keys).assign(run=run, variant=variant)
    frame["tokens"] = 1 + frame["sample"]
    frame["base_logp"] = -nll.ravel() * frame["tokens"]
    frame["logp"] = -own_nll * frame["tokens"]
    return frame.assign(correct=frame["sample"] == 0), frame.assign(kl=kl.ravel())


def counts(*models):
    """The table of counts of models as rows() gives them."""
    answers, kl = zip(*models, strict=True)
    return count_table(pd.concat(answers), pd.concat(kl))


def planted(seed=0, models=MODELS):
    """Problems differ a lot, models a little: by 0, 0.1, 0.2, ... nats a token."""
    level = 2 * rng(seed).random((PROBLEMS, 1))
    found = []
    for place, (run, variant) in enumerate(models):
        noise = 0.01 * rng(100 + seed + place).normal(size=(PROBLEMS, SAMPLES))
        nll = level - 0.1 * place + noise - noise.mean()
        found.append(rows(run, variant, nll, np.full(nll.shape, 0.5 * place)))
    return counts(*found)


def pooled(table):
    return table[table["run"].isin(["base", "all"])].set_index("variant")


def test_counts_are_of_problems_and_rates_are_of_answers():
    nll = np.array([[1.0, 3.0], [2.0, 2.0]])
    found = counts(rows("base", "base", nll, np.array([[0.0, 1.0], [2.0, 4.0]])))
    assert found["samples"].tolist() == [2, 2]
    assert found["correct"].tolist() == [1, 1]
    # Of each answer by itself: a long one counts as much as a short one.
    assert found["nll"].tolist() == [2.0, 2.0]
    assert found["own_nll"].tolist() == [1.0, 1.0]
    assert found["kl"].tolist() == [0.5, 3.0]


def test_the_difference_to_the_bases_own_answers_is_paired_by_problem():
    found = perplexity_table(planted(), seed=0, draws=400)
    assert list(found.columns) == PERPLEXITY_TABLE
    found = pooled(found)
    rank1 = found.loc["rank1"]
    assert rank1["difference"] == pytest.approx(-0.2)
    assert rank1["nll"] - rank1["base_nll"] == pytest.approx(-0.2)
    assert rank1["base_nll"] == pytest.approx(found.loc["base", "nll"])
    assert rank1["own_nll"] == pytest.approx(1)
    paired = rank1["difference_high"] - rank1["difference_low"]
    assert paired < 0.1 * (rank1["high"] - rank1["low"])
    assert np.isnan(found.loc["base", "difference"])


def test_the_kl_is_the_mean_over_problems():
    found = pooled(kl_table(planted(), seed=0, draws=100))
    assert found["kl"].to_dict() == pytest.approx({"base": 0, "full": 0.5, "rank1": 1})
    assert (found["n"] == PROBLEMS).all()


def test_answers_to_one_problem_are_not_independent():
    level = np.repeat(rng().gamma(2, 0.5, (40, 1)), 8, axis=1)
    mixed = rng().permuted(level.ravel()).reshape(level.shape)
    widths = []
    for kl in (level, mixed):
        found = kl_table(counts(rows("base", "base", kl, kl)), seed=0)
        widths.append((found["high"] - found["low"]).item())
    assert widths[0] > 2 * widths[1]


def test_the_interval_of_the_mean_kl_covers_the_truth():
    studies, hits = 200, 0
    for seed in range(studies):
        kl = rng(seed).gamma(4, 0.25, (60, 1))
        (found,) = kl_table(
            counts(rows("base", "base", kl, kl)), seed, 300
        ).itertuples()
        hits += found.low <= 1 <= found.high
    assert abs(hits / studies - 0.95) < 4 * np.sqrt(0.95 * 0.05 / studies)


def test_runs_of_an_arm_get_a_mean_and_disagreement_widens_it():
    models = [("base", "base"), ("full-seed0", "full"), ("full-seed1", "full")]
    found = kl_table(planted(models=models), seed=0, draws=400).set_index("run")
    assert list(found.columns) == [name for name in KL_TABLE if name != "run"]
    assert found.loc["all", "kl"] == pytest.approx(0.75)
    assert found.loc["all", "runs"] == 2
    assert (found.loc["all", "low"], found.loc["all", "high"]) == (0.5, 1.0)


def test_every_variant_has_a_null():
    found = null_table(planted(), [1, 4], seed=0)
    assert list(found.columns) == NULL_COLUMNS
    assert len(found) == 2 * 2 * 2
    assert set(found["variant"]) == {"full", "rank1"}
