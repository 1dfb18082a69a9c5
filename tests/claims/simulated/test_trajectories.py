"""Simulated walks have the correlations that they are made for."""

import numpy as np

from rankone.claims.simulated import trajectories
from rankone.claims.simulated.trajectories import WalkScenario


def test_simulated_walks_have_their_gram_matrix():
    name = trajectories.names()[0]
    found = trajectories.updates(WalkScenario(), name, "full-seed0", seed=0)
    squares = found.flatten(1).square().sum(1).numpy()
    steps = np.array(trajectories.STEPS)
    np.testing.assert_allclose(squares / squares[-1], steps / steps[-1], rtol=0.1)
