"""Rules that turn intervals into verdicts.

They were written down before any result was looked at. Every effect is signed so that
above zero speaks for the claim. The margin, the smallest effect of interest, is that of
the claim, in the unit of the effect: an interval within it counts as no effect, also
where it excludes zero.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from scipy.stats import norm

from rankone.statistics.equivalence import is_equivalent
from rankone.statistics.intervals import Estimate, Z

SUPPORTED = "supported"
CONTRADICTED = "contradicted"
NULL_COMPATIBLE = "null-compatible"
UNDETERMINED = "undetermined"


@dataclass(frozen=True)
class Verdict:
    """What follows (one of the four labels), and the rule that gave it."""

    label: str
    rule: str


@dataclass(frozen=True)
class ControlContrast:
    """A control's effect, and the treatment's effect minus it."""

    name: str
    effect: Estimate
    excess: Estimate


def with_controls(
    effect: Estimate, controls: Iterable[ControlContrast], margin: float
) -> Verdict:
    """The verdict on an effect that its controls must not show.

    Supported only if the effect is above zero, and above that of every control.
    """
    controls = list(controls)
    if effect.high < 0:
        return Verdict(CONTRADICTED, "the interval is below zero")
    if effect.low <= 0:
        if max(-effect.low, effect.high) < margin:
            rule = f"the interval is within {margin:g} of zero"
            return Verdict(NULL_COMPATIBLE, rule)
        return Verdict(UNDETERMINED, "the interval includes zero and is too wide")
    if not controls:
        return Verdict(UNDETERMINED, "there is no control to compare with")
    same = [c.name for c in controls if c.effect.low > 0 and c.excess.low <= 0]
    if same:
        return Verdict(NULL_COMPATIBLE, f"{', '.join(same)} shows it as well")
    close = [c.name for c in controls if c.excess.low <= 0]
    if close:
        rule = f"it cannot be told from that of {', '.join(close)}"
        return Verdict(UNDETERMINED, rule)
    return Verdict(SUPPORTED, "above zero and above every control")


def beyond_null(effect: Estimate, margin: float) -> Verdict:
    """The verdict on an effect that is a measured value minus that of its null."""
    if max(-effect.low, effect.high) < margin:
        return Verdict(
            NULL_COMPATIBLE, f"the interval is within {margin:g} of the null"
        )
    if effect.low > 0:
        return Verdict(SUPPORTED, "the interval is above the null")
    if effect.high < 0:
        return Verdict(CONTRADICTED, "the interval is below the null")
    return Verdict(UNDETERMINED, "the interval includes the null and is too wide")


@dataclass(frozen=True)
class EquivalenceTest:
    """A difference of scores: its 95 % interval, and that at 90 % for equivalence."""

    name: str
    difference: Estimate
    equivalence: Estimate

    def within(self, margin: float) -> bool:
        """Whether two one-sided tests at 5 % put the difference within the margin."""
        return is_equivalent(self.equivalence, margin)


def equal_with_controls(
    treated: EquivalenceTest, controls: Iterable[EquivalenceTest], margin: float
) -> Verdict:
    """The verdict on a score that a treatment keeps and its controls must not keep."""
    if not treated.within(margin):
        if not treated.difference.includes_zero:
            side = "below" if treated.difference.high < 0 else "above"
            return Verdict(CONTRADICTED, f"the 95 % interval is {side} zero")
        return Verdict(UNDETERMINED, "the interval includes zero and is too wide")
    controls = list(controls)
    if not controls:
        return Verdict(UNDETERMINED, "there is no control to compare with")
    same = [control.name for control in controls if control.within(margin)]
    if same:
        return Verdict(NULL_COMPATIBLE, f"{', '.join(same)} keeps it as well")
    close = [c.name for c in controls if c.difference.includes_zero]
    if close:
        return Verdict(UNDETERMINED, f"{', '.join(close)} may keep it as well")
    return Verdict(SUPPORTED, "kept within the margin, and by no control")


def power(effect: Estimate, margin: float) -> float:
    """Probability that the interval would exclude zero if the effect were the margin.

    From the width of the interval, taken for that of a normal distribution.
    """
    error = (effect.high - effect.low) / (2 * Z)
    return float(norm.cdf(margin / error - Z)) if error > 0 else 1.0
