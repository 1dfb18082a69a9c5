"""Steps, updates and walks that the tests of trajectories share."""

import numpy as np
import torch

from rankone.linalg.svd import leading

STEPS = (10, 20, 30, 40)


def torch_rng(seed=0):
    return torch.Generator().manual_seed(seed)


def rng(seed=0):
    return np.random.default_rng(seed)


def direction(size, angle=0.0, axes=(0, 1)):
    """A unit vector in a plane, at an angle from the first axis."""
    vector = torch.zeros(size)
    vector[axes[0]], vector[axes[1]] = np.cos(angle), np.sin(angle)
    return vector


def turned(rows, columns, left, right, noise=1e-4, seed=0):
    """Factors of a rank-1 update with these angles of its vectors, and some noise."""
    update = torch.outer(direction(rows, left), direction(columns, right))
    return leading(
        update + noise * torch.randn(rows, columns, generator=torch_rng(seed)), 1
    )


def unclear(rows, columns):
    """Factors of an update whose first direction is not identifiable."""
    return leading(torch.eye(rows, columns), 1)


def walk(count, dimension, seed, rho=0.0, drift=0.0):
    """Positions [count, dimension] of a walk with AR(1) noise and a drift a step."""
    generator = rng(seed)
    noise = generator.normal(size=(count, dimension)) / np.sqrt(dimension)
    for i in range(1, count):
        noise[i] = rho * noise[i - 1] + np.sqrt(1 - rho**2) * noise[i]
    way = generator.normal(size=dimension)
    return np.cumsum(noise + drift * way / np.linalg.norm(way), axis=0)


def walk_gram(*args, **options):
    positions = walk(*args, **options)
    return positions @ positions.T
