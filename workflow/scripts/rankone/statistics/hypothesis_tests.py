"""Tests with their p-values, and p-values adjusted for how many there are.

Sources: Phipson and Smyth, Stat. Appl. Genet. Mol. Biol. 9 (2010) 39 for Monte Carlo
p-values; McNemar, Psychometrika 12 (1947) 153.
"""

import math

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import binomtest, false_discovery_control, wilcoxon


def mcnemar(first: int, second: int) -> float:
    """Exact two-sided McNemar p of the two numbers of pairs that disagree.

    It is 1 where no pair disagrees.
    """
    total = int(first + second)
    return float(binomtest(int(first), total).pvalue) if total else 1.0


def monte_carlo_p(value: float, drawn: np.ndarray) -> float:
    """(1 + number of draws at least as extreme) / (draws + 1), two-sided.

    Extreme is far from the median of the draws and the value together: they play the
    same part under the null, which makes the test exact. NaN if any of them is.
    """
    together = np.append(drawn, value)
    if np.isnan(together).any():
        return math.nan
    distance = np.abs(together - np.median(together))
    # Equal values may differ in their last bits.
    extreme = distance[:-1] >= distance[-1] * (1 - 1e-12)
    return float((1 + np.count_nonzero(extreme)) / len(together))


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
