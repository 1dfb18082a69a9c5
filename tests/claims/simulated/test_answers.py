"""Simulated answers have their accuracy, and are paired with their reference's."""

import numpy as np
import pytest

from rankone.claims.simulated.answers import answers


def test_simulated_answers_have_their_accuracy():
    rng = np.random.default_rng(0)
    base = (rng.random(20_000) < 0.4).astype(float)
    found = answers(base, (0.4, 0.55), rng)
    assert found.mean() == pytest.approx(0.55, abs=0.02)
    assert np.corrcoef(base, found)[0, 1] > 0.4
