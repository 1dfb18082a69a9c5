"""Sampling efficiency: pass@k, its crossing with the base's, and solvable problems.

A table of samples has one row per (run, variant, problem) with `samples` n drawn and
`correct` c of them right. The base is the variant `base`; it is one model, so it has
one row per problem and is shared by all runs. All samples of a table were drawn with
the same decoding settings: pass@k depends on them.

Sources: Chen et al., arXiv 2107.03374, section 2.1 (unbiased pass@k); arXiv 2504.13837
(base against RLVR model over k, sampling-efficiency gap, solvable problems); McNemar,
Psychometrika 12 (1947) 153.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from rankone.analysis.pairing import (
    check_same_items,
    check_unique,
    paired_cube,
    shared_values,
    with_base,
)
from rankone.errors import UserError
from rankone.names import ALL_RUNS, BASE, arm_of, groups_of_runs
from rankone.statistics.hypothesis_tests import mcnemar, monte_carlo_p
from rankone.statistics.intervals import (
    DRAWS,
    LEVEL,
    UNDEFINED,
    Estimate,
    least_half_width,
    percentile,
    resample,
    wilson,
)
from rankone.tables_io import require_columns

NULL_DRAWS = 2_000
# Curves that differ by less are equal: means of the same numbers, rounded differently.
TIE = 1e-12
KEY = ["run", "variant", "problem"]
COUNT_COLUMNS = [*KEY, "samples", "correct"]
CELL = ["arm", "run", "variant"]
PASS_COLUMNS = [
    *(*CELL, "k", "value", "low", "high"),
    *("difference", "difference_low", "difference_high", "n", "runs"),
]
EFFICIENCY_COLUMNS = [
    *(*CELL, "crossing", "low", "high", "missing", "ahead"),
    *("largest_k", "gap", "gap_low", "gap_high", "n", "runs"),
]
SOLVABLE_COLUMNS = [
    *(*CELL, "both", "base_only", "variant_only", "neither", "fragile"),
    *("p", "n", "base_samples", "variant_samples", "warning"),
]
NULL_COLUMNS = [*CELL, "k", "value", "base", "low", "high", "p", "n", "runs"]


def pass_at_k(samples: ArrayLike, correct: ArrayLike, k: ArrayLike) -> np.ndarray:
    """Unbiased pass@k, 1 - C(n-c, k) / C(n, k), of every problem.

    `samples` n and `correct` c are integers that broadcast to some shape S; the result
    is float64 of shape S + shape(k). The binomials are never formed: the ratio is the
    product of 1 - k/i over i = n-c+1, ..., n (arXiv 2107.03374). Raises ValueError
    unless 1 <= k <= n and 0 <= c <= n everywhere.
    """
    n, c = np.broadcast_arrays(np.asarray(samples), np.asarray(correct))
    ks = np.asarray(k)
    if not n.size or not ks.size or (c < 0).any() or (c > n).any():
        raise ValueError("pass@k: expected 0 <= correct <= samples, and some of each")
    if ks.min() < 1 or ks.max() > n.min():
        raise ValueError(
            f"pass@k: k is from {ks.min()} to {ks.max()}, expected from 1 to the "
            f"smallest number of samples, {n.min()}"
        )
    found = np.empty(n.shape + ks.shape)
    for size in np.unique(n):
        chosen = n == size
        found[chosen] = _solved(size, ks.ravel())[c[chosen]].reshape(-1, *ks.shape)
    return found


def _solved(samples: int, ks: np.ndarray) -> np.ndarray:
    """pass@k for every number of correct samples: (samples + 1, K).

    The factor of i = k is exactly zero, so k > n - c needs no case of its own.
    """
    factors = 1 - ks / np.arange(samples, 0, -1)[:, None]
    failed = np.cumprod(np.vstack([np.ones(len(ks)), factors]), axis=0)
    # Behind the factor zero all factors are negative: 1 minus zero of either sign.
    return 1 - failed


def powers(counts: pd.DataFrame) -> list[int]:
    """1, 2, 4, ... and the largest k that every problem has samples for."""
    largest = int(_checked(counts)["samples"].min())
    return sorted({*(2**i for i in range(largest.bit_length())), largest})


@dataclass(frozen=True)
class Group:
    """Samples of some runs of one arm: `samples` and `correct` are (runs, V, problems).

    `run` is the run's name, or `all` for all runs of the arm together.
    """

    arm: str
    run: str
    runs: list[str]
    variants: list[str]
    samples: np.ndarray
    correct: np.ndarray

    @property
    def cell(self) -> dict:
        """What the rows of all variants share."""
        runs, _, problems = self.samples.shape
        return {"arm": self.arm, "run": self.run, "n": problems, "runs": runs}

    def shown(self) -> list[tuple[int, str]]:
        """Indices and names of variants that have rows: the base has its own alone."""
        every = list(enumerate(self.variants))
        return every if self.run == BASE else every[1:]


def _checked(counts: pd.DataFrame) -> pd.DataFrame:
    """The table with the base's run called `base`; raises UserError if it is unsound.

    It must hold the base, have unique keys and possible counts, and every run and
    variant must have the base's problems.
    """
    where = "The table of samples"
    require_columns(counts, COUNT_COLUMNS, where)
    is_base = counts["variant"] == BASE
    if not is_base.any():
        raise UserError(f"The table of samples lacks `{BASE}`; sample the base too.")
    counts = counts.assign(run=counts["run"].mask(is_base, BASE))
    check_unique(counts, KEY, where)
    _check_numbers(counts)
    problems = set(counts.loc[is_base, "problem"])
    check_same_items(counts, problems, ["run", "variant"], "problem", where)
    return counts


def _check_numbers(counts: pd.DataFrame) -> None:
    """Raise UserError if a problem has impossible numbers."""
    possible = counts["correct"].between(0, counts["samples"])
    wrong = counts[~possible | (counts["samples"] < 1)]
    if len(wrong):
        first = wrong.iloc[0]
        raise UserError(
            f"Problem `{first['problem']}` of {first['variant']} has {first['correct']}"
            f" correct of {first['samples']} samples; expected from none to all of at "
            "least one."
        )


def groups(counts: pd.DataFrame) -> Iterator[Group]:
    """The base alone, every run, and all runs of every arm.

    The first variant of each is the base; the others are those that all runs of the
    group have, in alphabetical order.
    """
    counts = _checked(counts)
    yield _group(counts, (BASE, BASE), [BASE], [BASE])
    trained = counts[counts["variant"] != BASE]
    for arm, of_arm in trained.groupby(trained["run"].map(arm_of), sort=False):
        for label, runs in groups_of_runs(of_arm["run"].unique()):
            variants = [BASE, *shared_values(of_arm, runs, "variant")]
            yield _group(counts, (arm, label), runs, variants)


def _group(
    counts: pd.DataFrame, name: tuple[str, str], runs: list[str], variants: list[str]
) -> Group:
    """The samples of these runs and variants, named by arm and run."""
    cubes = (
        problem_cube(counts, column, runs, variants).astype(np.int64)
        for column in ("samples", "correct")
    )
    return Group(*name, runs, variants, *cubes)


def problem_cube(
    counts: pd.DataFrame, column: str, runs: Sequence[str], variants: Sequence[str]
) -> np.ndarray:
    """Values of a column (runs, V, problems); the base's stand in every run."""
    return paired_cube(
        counts,
        with_base(runs, variants),
        columns=["run", "variant"],
        item="problem",
        value=column,
    )


def _curves(
    group: Group, ks: Sequence[int], seed: int, draws: int
) -> tuple[np.ndarray, np.ndarray]:
    """pass@k, mean over problems and runs: observed (V, K), resampled (draws, V, K).

    Problems are resampled, the same ones for all k, variants and runs; with several
    runs the runs as well.
    """
    values = np.moveaxis(pass_at_k(group.samples, group.correct, ks), -1, 2)
    runs, variants, _, problems = values.shape
    cube = values.reshape(runs, -1, problems)
    observed, drawn = resample([cube], np.random.default_rng(seed), draws)
    shape = variants, len(ks)
    return observed[0].reshape(shape), drawn[0].reshape(-1, *shape)


def _check_ks(ks: Sequence[int], samples: np.ndarray | pd.Series, least: int) -> None:
    """Raise UserError unless `ks` rise and every problem has samples for them."""
    steps = np.diff(ks)
    if len(ks) < least or min(ks) < 1 or (steps < 1).any():
        raise UserError(
            f"k is {list(ks)}; expected {least} or more rising whole numbers from 1."
        )
    if max(ks) > samples.min():
        raise UserError(
            f"pass@{max(ks)} needs {max(ks)} samples of every problem, but one has "
            f"{samples.min()}; lower k or draw more samples."
        )


def pass_table(
    counts: pd.DataFrame, ks: Sequence[int], seed: int, draws: int = DRAWS
) -> pd.DataFrame:
    """Mean pass@k of every variant with its band, and its difference to the base's.

    One row (PASS_COLUMNS) per arm, run, variant and k; `n` counts problems. The run
    `all` is the mean over the runs of an arm. Problems are resampled in pairs (the same
    for all k, variants and runs of a row's group), with several runs the runs as well.

    The estimator is unbiased for each problem, and the spread of its values over
    problems holds both the spread of difficulty and the noise of n samples, so that
    resampling problems is all that an interval for new problems of the same kind
    needs. It leaves out: other training seeds, where there is one run (with few, see
    statistics.bootstrap); other decoding settings; a bias of the verifier. Bands are
    pointwise: the values of a curve are correlated over k, and a band around a whole
    curve is wider. For exactly these problems the intervals are too wide.
    """
    _check_ks(ks, _checked(counts)["samples"], least=1)
    rows = []
    for group in groups(counts):
        observed, drawn = _curves(group, ks, seed, draws)
        for index, variant in group.shown():
            for i, k in enumerate(ks):
                row = {**group.cell, "variant": variant, "k": k}
                level = _level(observed[index, i], drawn[:, index, i], row["n"])
                row |= level.columns()
                if variant != BASE:
                    change = _difference(observed[:, i], drawn[:, :, i], index, row)
                    row |= change.columns("difference", "difference_")
                rows.append(row)
    return pd.DataFrame(rows, columns=PASS_COLUMNS)


def _level(value: float, draws: np.ndarray, n: int) -> Estimate:
    """A mean of n problems with its interval.

    Where all problems are certain the bootstrap has width zero: Wilson's interval.
    """
    certain = min(value, 1 - value) < TIE
    return wilson(round(value), n) if certain else percentile(value, draws)


def _difference(
    observed: np.ndarray, drawn: np.ndarray, index: int, cell: dict
) -> Estimate:
    """The difference of a variant's mean to the base's, the first one."""
    return percentile(
        observed[index] - observed[0],
        drawn[:, index] - drawn[:, 0],
        least_half_width([cell["n"]]),
    )


@dataclass(frozen=True)
class Crossing:
    """Where one pass@k curve overtakes another.

    `estimate` is a k; NaN if the curves do not cross up to the largest k. Its bounds
    count draws without a crossing as infinity. `missing` is the share of draws without
    a crossing, `ahead` the share whose crossing is at the smallest k or below: there
    the first curve is ahead from the start.
    """

    estimate: Estimate
    missing: float
    ahead: float


def crossing(observed: np.ndarray, drawn: np.ndarray, ks: Sequence[int]) -> Crossing:
    """The smallest k at which the first of two curves (2, K) reaches the second.

    `drawn` (draws, 2, K) are resampled. Interpolated in log k between the `ks` (two or
    more, rising). A tie that the first does not turn into a lead is no crossing: two
    curves that both reach 1 always tie. Models that do not differ cross somewhere by
    chance: see resampled_null() first.
    """
    (value,) = crossings((observed[0] - observed[1])[None], ks)
    found = np.sort(crossings(drawn[:, 0] - drawn[:, 1], ks))
    estimate = UNDEFINED
    if np.isfinite(value):
        # Order statistics: an interpolated quantile of infinities is not a number.
        tail = int(len(found) * (1 - LEVEL) / 2)
        low, high = found[tail], found[-1 - tail]
        estimate = Estimate(
            float(value), float(min(low, value)), float(max(high, value))
        )
    missing, ahead = np.isinf(found).mean(), (found <= ks[0]).mean()
    return Crossing(estimate, float(missing), float(ahead))


def crossings(difference: np.ndarray, ks: Sequence[int]) -> np.ndarray:
    """The k at which each row of differences (rows, K) rises from below zero to above.

    Infinity where it is never above zero, the first k where it is not below zero before
    it is above. Linear in log k between the points around the crossing.
    """
    size = len(ks)
    above = difference > TIE
    first = above.argmax(axis=1)
    before = (difference < -TIE) & (np.arange(size) < first[:, None])
    last = size - 1 - before[:, ::-1].argmax(axis=1)
    crosses = before.any(axis=1)
    here, row = np.where(crosses, last, 0), np.arange(len(difference))
    start, end = difference[row, here], difference[row, np.minimum(here + 1, size - 1)]
    share = np.divide(start, start - end, out=np.zeros(len(row)), where=crosses)
    logs = np.log(ks)
    gaps = np.append(np.diff(logs), 0)
    found = np.exp(logs[here] + share * gaps[here])
    return np.where(above.any(axis=1), np.where(crosses, found, ks[0]), np.inf)


def efficiency_gap(observed: np.ndarray, drawn: np.ndarray, n: int) -> Estimate:
    """Sampling-efficiency gap: pass@K of the base minus pass@1 of a variant.

    `observed` (2, K) and `drawn` (draws, 2, K) are their curves from k = 1 on, over n
    problems. What the base can solve in K samples and the variant does not solve in one
    (arXiv 2504.13837); it grows with K, so compare it at equal K only.
    """
    return percentile(
        observed[0, -1] - observed[1, 0],
        drawn[:, 0, -1] - drawn[:, 1, 0],
        least_half_width([n]),
    )


def efficiency_table(
    counts: pd.DataFrame, ks: Sequence[int], seed: int, draws: int = DRAWS
) -> pd.DataFrame:
    """crossing() of the base and efficiency_gap() for every arm, run and variant.

    One row each (EFFICIENCY_COLUMNS). Without a crossing `crossing` and its bounds are
    missing; a bound beyond the largest k is infinite. `ks` are as in crossing() and
    start with 1. With several runs their mean curve counts.
    """
    _check_ks(ks, _checked(counts)["samples"], least=2)
    if ks[0] != 1:
        raise UserError(f"k starts with {ks[0]}; expected 1, which the gap needs.")
    rows = []
    for group in groups(counts):
        if group.run == BASE:
            continue
        observed, drawn = _curves(group, ks, seed, draws)
        for index, variant in group.shown():
            pair = observed[[0, index]], drawn[:, [0, index]]
            found = crossing(*pair, ks)
            row = {**group.cell, "variant": variant, "largest_k": ks[-1]}
            row |= {"missing": found.missing, "ahead": found.ahead}
            row |= found.estimate.columns("crossing")
            gap = efficiency_gap(*pair, group.cell["n"])
            rows.append(row | gap.columns("gap", "gap_"))
    return pd.DataFrame(rows, columns=EFFICIENCY_COLUMNS)


def solvable_sets(counts: pd.DataFrame) -> pd.DataFrame:
    """Problems with a correct sample from the base, the variant, both, or neither.

    One row (SOLVABLE_COLUMNS) per run and variant. `p` is McNemar's exact p for
    `base_only` against `variant_only`: with equal numbers of samples the two are
    equally likely for every problem where nothing changed, so that a single problem
    which the variant lost proves nothing. `fragile` counts the problems of the two that
    hang on one correct sample. Whether a problem is solvable depends on the number of
    samples, as `warning` says; with different numbers `p` is missing.
    """
    rows = []
    for group in groups(counts):
        if group.run in (BASE, ALL_RUNS):
            continue
        (samples,), (correct,) = group.samples, group.correct
        for index, variant in group.shown():
            pair = [0, index]
            row = {**group.cell, "variant": variant}
            rows.append(row | _solvable(samples[pair], correct[pair]))
    return pd.DataFrame(rows, columns=SOLVABLE_COLUMNS)


def _solvable(samples: np.ndarray, correct: np.ndarray) -> dict:
    """The cells of one two by two table from samples and correct (2, problems)."""
    base, variant = correct > 0
    lost, gained = int((base & ~variant).sum()), int((variant & ~base).sum())
    equal = (samples[0] == samples[1]).all()
    sizes = [
        f"{s.min()}" if s.min() == s.max() else f"{s.min()}-{s.max()}" for s in samples
    ]
    warning = f"solvable in {sizes[0]} samples; more samples solve more problems"
    if not equal:
        warning = (
            f"{sizes[0]} samples of the base and {sizes[1]} of the variant: the sets "
            "cannot be compared"
        )
    return {
        "both": int((base & variant).sum()),
        "base_only": lost,
        "variant_only": gained,
        "neither": int((~base & ~variant).sum()),
        "fragile": int(((base != variant) & (correct.sum(axis=0) == 1)).sum()),
        "p": mcnemar(lost, gained) if equal else np.nan,
        "base_samples": int(samples[0].min()),
        "variant_samples": int(samples[1].min()),
        "warning": warning,
    }


def resampled_null(
    counts: pd.DataFrame,
    variant: str,
    ks: Sequence[int],
    seed: int,
    draws: int = NULL_DRAWS,
) -> pd.DataFrame:
    """Where pass@k of a variant would lie if it had the base's success rates.

    One row (NULL_COLUMNS) per k and group of runs: `value` of the variant, `base`, the
    band `low` to `high` around the base's curve, and the two-sided Monte Carlo `p` of
    their difference. Pointwise in k, and for exactly these problems.

    If nothing changed, the correct samples of a problem fall to the base and to the
    variant at random (hypergeometric), whatever the rate is, so that the null is exact.
    Binomial samples from the base's observed rates would be biased instead: a
    problem that the base solved once in n samples stays unsolved in about a third of
    such draws, and one that it never solved is never solved. With 16 to 32 samples of
    60 to 100 problems, such a band at 95 % missed 20 % to 60 % of unchanged models.
    """
    _check_ks(ks, _checked(counts)["samples"], least=1)
    chosen = counts[counts["variant"].isin([BASE, variant])]
    rows = []
    for group in groups(chosen):
        if group.run != BASE:
            rows += _null_rows(group, ks, np.random.default_rng(seed), draws)
    if not rows:
        raise UserError(f"No run of the table of samples has the variant {variant}.")
    return pd.DataFrame(rows, columns=NULL_COLUMNS)


def _null_rows(
    group: Group, ks: Sequence[int], rng: np.random.Generator, draws: int
) -> Iterator[dict]:
    """Rows of the null of one group with the variants base and one other."""
    values = pass_at_k(group.samples, group.correct, ks).mean(axis=(0, 2))
    difference = values[1] - values[0]
    null = _exchanged(group, ks, rng, draws)
    tails = np.quantile(null, [(1 - LEVEL) / 2, (1 + LEVEL) / 2], axis=0)
    p = monte_carlo_p(difference, null, atol=TIE)
    for i, k in enumerate(ks):
        row = {**group.cell, "variant": group.variants[1], "k": k}
        row |= {"value": values[1, i], "base": values[0, i]}
        low, high = np.clip(values[0, i] + tails[:, i], 0, 1)
        yield row | {"low": low, "high": high, "p": p[i]}


def _exchanged(
    group: Group, ks: Sequence[int], rng: np.random.Generator, draws: int
) -> np.ndarray:
    """Differences of mean pass@k (draws, K) with correct samples dealt out again.

    The samples of the base and of every run are one pool for each problem.
    """
    sizes = np.stack([group.samples[0, 0], *group.samples[:, 1]])
    correct = np.stack([group.correct[0, 0], *group.correct[:, 1]])
    samples_left = sizes.sum(axis=0)
    left = np.broadcast_to(correct.sum(axis=0), (draws, sizes.shape[1]))
    means = []
    for size in sizes[1:]:
        dealt = rng.hypergeometric(left, samples_left - left, size)
        left, samples_left = left - dealt, samples_left - size
        means.append(_mean_curves(size, dealt, ks))
    return np.mean(means, axis=0) - _mean_curves(sizes[0], left, ks)


def _mean_curves(
    samples: np.ndarray, correct: np.ndarray, ks: Sequence[int]
) -> np.ndarray:
    """Mean pass@k over problems: samples (P,), correct (draws, P) -> (draws, K)."""
    draws, problems = correct.shape
    total = np.zeros((draws, len(ks)))
    for size in np.unique(samples):
        # Counting how often each number occurs needs K times less memory.
        cell = np.arange(draws)[:, None] * (size + 1) + correct[:, samples == size]
        often = np.bincount(cell.ravel(), minlength=draws * (size + 1))
        total += often.reshape(draws, -1) @ _solved(size, np.asarray(ks))
    return total / problems
