"""Tests with their p-values, and p-values adjusted for how many there are.

Sources: Phipson and Smyth, Stat. Appl. Genet. Mol. Biol. 9 (2010) 39 for Monte Carlo
p-values; McNemar, Psychometrika 12 (1947) 153.
"""

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import binomtest, false_discovery_control, wilcoxon


def mcnemar(first: int, second: int) -> float:
    """Exact two-sided McNemar p of the two numbers of pairs that disagree.

    It is 1 where no pair disagrees.
    """
    total = int(first + second)
    return float(binomtest(int(first), total).pvalue) if total else 1.0


def monte_carlo_p(
    observed: ArrayLike, draws: np.ndarray, *, rtol: float = 0.0, atol: float = 0.0
) -> np.ndarray:
    """Two-sided p of deviations S from a null's centre, beside draws (draws, *S) of it.

    (1 + number of draws at least as far from zero) / (draws + 1). A draw that is nearer
    by the share `rtol` of the deviation, or by `atol`, counts as far as it: equal
    values may differ in their last bits. NaN where the deviation is, or without draws.
    """
    deviation = np.abs(observed)
    extreme = np.abs(draws) >= deviation * (1 - rtol) - atol
    p = (1 + extreme.sum(axis=0)) / (1 + len(draws))
    return np.where(np.isnan(deviation) | (len(draws) == 0), np.nan, p)


def signed_rank_p(differences: np.ndarray) -> float:
    """Two-sided p of Wilcoxon's signed-rank test; 1 where nothing differs."""
    return float(wilcoxon(differences).pvalue) if differences.any() else 1.0


def benjamini_hochberg(p: ArrayLike) -> np.ndarray:
    """p-values adjusted for the false discovery rate, in their order; NaN stays.

    Benjamini and Hochberg, JRSS B 57 (1995) 289.
    """
    p = np.array(p, dtype=np.float64)
    known = ~np.isnan(p)
    if known.any():
        p[known] = false_discovery_control(p[known], method="bh")
    return p
