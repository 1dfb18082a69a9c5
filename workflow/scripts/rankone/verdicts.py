"""Rules that turn intervals into verdicts; all thresholds are here.

They were written down before any result was looked at.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from rankone.statistics import Estimate

SUPPORTED = "supported"
CONTRADICTED = "contradicted"
NULL_COMPATIBLE = "null-compatible"
UNDETERMINED = "undetermined"

# Rewards that differ by less count as equal.
REWARD_MARGIN = 0.05


@dataclass(frozen=True)
class Verdict:
    """What follows, and the rule that gave it."""

    word: str
    rule: str


@dataclass(frozen=True)
class Control:
    """A control's effect, and the treatment's effect minus it."""

    name: str
    effect: Estimate
    excess: Estimate


def with_controls(effect: Estimate, controls: Iterable[Control]) -> Verdict:
    """The verdict on an effect that its controls must not show.

    Supported only if the effect is above zero, and above that of every control.
    """
    controls = list(controls)
    if effect.high < 0:
        return Verdict(CONTRADICTED, "the interval is below zero")
    if effect.low <= 0:
        if max(-effect.low, effect.high) < REWARD_MARGIN:
            rule = f"the interval is within {REWARD_MARGIN:g} of zero"
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
