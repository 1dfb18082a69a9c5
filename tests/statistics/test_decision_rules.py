"""Verdicts follow their rules, and a control can take a finding away."""

import pytest

from rankone.statistics.decision_rules import (
    CONTRADICTED,
    NULL_COMPATIBLE,
    SUPPORTED,
    UNDETERMINED,
    ControlContrast,
    with_controls,
)
from rankone.statistics.intervals import Estimate

ABOVE, ZERO = Estimate(0.2, 0.1, 0.3), Estimate(0.0, -0.1, 0.1)
BELOW, NARROW = Estimate(-0.2, -0.3, -0.1), Estimate(0.0, -0.02, 0.02)
MARGIN = 0.05
QUIET = ControlContrast("shrunk", effect=ZERO, excess=ABOVE)
SAME = ControlContrast("shrunk", effect=ABOVE, excess=ZERO)
WIDE = ControlContrast("shrunk", effect=ZERO, excess=ZERO)
WEAKER = ControlContrast("shrunk", effect=ABOVE, excess=ABOVE)


@pytest.mark.parametrize(
    ("effect", "controls", "label"),
    [
        (ABOVE, [QUIET], SUPPORTED),
        (ABOVE, [WEAKER], SUPPORTED),
        (ABOVE, [QUIET, SAME], NULL_COMPATIBLE),
        (ABOVE, [QUIET, WIDE], UNDETERMINED),
        (ABOVE, [], UNDETERMINED),
        (ZERO, [QUIET], UNDETERMINED),
        (NARROW, [QUIET], NULL_COMPATIBLE),
        (BELOW, [QUIET], CONTRADICTED),
    ],
)
def test_a_verdict_needs_the_effect_and_the_absence_of_it_in_controls(
    effect, controls, label
):
    assert with_controls(effect, controls, MARGIN).label == label


def test_the_rule_names_the_control_that_decided():
    assert "shrunk" in with_controls(ABOVE, [QUIET, SAME], MARGIN).rule
