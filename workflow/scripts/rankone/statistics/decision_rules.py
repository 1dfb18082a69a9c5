"""Rules that turn intervals into verdicts; all thresholds are here.

They were written down before any result was looked at. Every effect is signed so that
above zero speaks for the claim. The hash of this file is in the claims table: verdicts
under other rules are not comparable, and were not calibrated together.
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
# Rewards that differ by less count as equal.
REWARD_MARGIN = 0.05
# The smallest effect of interest of each claim, in the unit of its effect. An interval
# within it counts as no effect, also where it excludes zero.
MARGINS = {
    # Rewards and accuracies, as shares of 1.
    "implicit_overfitting": REWARD_MARGIN,
    "rank1_carries_the_gain": 0.05,
    "rank1_rescaled_keeps_all": 0.05,
    "rank1_spares_knowledge": 0.05,
    "rank1_forgets_less_at_equal_kl": 0.02,
    "pass_at_1_rises": 0.05,
    "base_overtakes": 0.05,
    # Nats per token.
    "answers_likely_under_base": 0.05,
    # Exponents of a density.
    "weights_heavy_tailed": 0.1,
    "training_makes_tails": 0.02,
    "updates_heavy_tailed": 0.1,
    # Shares of the energy.
    "rank1_energy_beyond_noise": 0.01,
    "trajectory_beyond_walk": 0.02,
    # R^2, and a share of weights.
    "coefficient_linear_beyond_walk": 0.01,
    "coefficient_predicts": 0.1,
    "weights_linear_beyond_walk": 0.05,
    # Standard deviations of the null.
    "left_aligns_more_adjacent": 0.2,
    "left_aligns_more_to_final": 0.2,
    "left_aligns_more_across_seeds": 0.2,
    # Shares of the null's value.
    "spectrum_preserved": 0.1,
    "off_principal": 0.1,
    # Shares of entries, and an index.
    "low_magnitude_weights_change": 0.01,
    "sparse_beyond_rounding": 0.02,
    "same_subnetwork": 0.01,
    "striped": 0.1,
}
# A claim is reported if false verdicts on it are no more frequent, with their interval.
FALSE_POSITIVES = 0.05
# With fewer layers their spread is not known well enough for a verdict.
MIN_LAYERS = 5


@dataclass(frozen=True)
class Verdict:
    """What follows, and the rule that gave it."""

    word: str
    rule: str


@dataclass(frozen=True)
class ControlContrast:
    """A control's effect, and the treatment's effect minus it."""

    name: str
    effect: Estimate
    excess: Estimate


def with_controls(effect: Estimate, controls: Iterable[ControlContrast]) -> Verdict:
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
