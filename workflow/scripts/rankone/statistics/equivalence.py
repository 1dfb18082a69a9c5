"""Equivalence of two scores by two one-sided tests.

Sources: Schuirmann, J. Pharmacokinet. Biopharm. 15 (1987) 657 (two one-sided tests);
Lakens, Soc. Psychol. Personal. Sci. 8 (2017) 355 (difference and equivalence together).
"""

from dataclasses import dataclass

import numpy as np
from scipy.stats import norm

from rankone.errors import UserError
from rankone.statistics.intervals import Estimate, Sample, Z, paired_difference

RETAINED = "retained"
DAMAGED = "damaged"
IMPROVED = "improved"
UNDETERMINED = "undetermined"
# Two one-sided tests at 5 % are a two-sided interval at 90 %.
ONE_SIDED = 0.05


@dataclass(frozen=True)
class Equivalence:
    """A difference of scores against a margin.

    `estimate` has the 90 % interval of two one-sided tests at 5 %, `difference` the
    same value with the 95 % interval of the difference test.
    """

    estimate: Estimate
    difference: Estimate
    margin: float
    verdict: str
    rule: str


def equivalence(
    sample: Sample, variant: int, reference: int, margin: float
) -> Equivalence:
    """Whether a variant keeps the reference's score, within `margin` (share of 1).

    `retained` if the 90 % interval of the difference lies within the margin, also where
    the difference is clearly not zero (the rule says so). Otherwise `damaged` if the 95
    % interval is below zero or the 90 % interval below the margin, `improved` the other
    way round, else `undetermined`. Raises UserError for a margin not above zero.
    """
    if not 0 < margin <= 1:
        raise UserError(
            f"The margin of equivalence is {margin}; expected above 0 and at most 1."
        )
    difference = paired_difference(sample, variant, reference)
    estimate = _one_sided(sample, variant, reference)
    verdict, rule = _verdict(estimate, difference, margin)
    return Equivalence(estimate, difference, margin, verdict, rule)


def is_equivalent(estimate: Estimate, margin: float) -> bool:
    """Whether the 90 % interval of a difference lies within the margin of zero."""
    return -margin < estimate.low and estimate.high < margin


def _one_sided(sample: Sample, variant: int, reference: int) -> Estimate:
    """paired_difference() with the interval of two one-sided tests."""
    value = float(sample.observed[variant] - sample.observed[reference])
    draws = sample.draws[:, variant] - sample.draws[:, reference]
    low, high = np.quantile(draws, [ONE_SIDED, 1 - ONE_SIDED])
    floor = sample.floor * norm.ppf(1 - ONE_SIDED) / Z
    return Estimate(
        value, float(min(low, value - floor)), float(max(high, value + floor))
    )


def _verdict(
    estimate: Estimate, difference: Estimate, margin: float
) -> tuple[str, str]:
    """Verdict and rule from the intervals at 90 % and at 95 %."""
    if is_equivalent(estimate, margin):
        rule = f"the 90 % interval is within {margin:g} of zero"
        if not difference.includes_zero:
            side = "below" if difference.high < 0 else "above"
            rule += f", though the 95 % interval is {side} zero"
        return RETAINED, rule
    if difference.high < 0:
        return DAMAGED, "the 95 % interval is below zero"
    if estimate.high < -margin:
        return DAMAGED, f"the 90 % interval is below -{margin:g}"
    if difference.low > 0:
        return IMPROVED, "the 95 % interval is above zero"
    if estimate.low > margin:
        return IMPROVED, f"the 90 % interval is above {margin:g}"
    return UNDETERMINED, "the 95 % interval includes zero and the 90 % one is too wide"
