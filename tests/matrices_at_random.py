"""Random matrices and values that the tests of spectra share."""

import math

import torch

from rankone.linalg.svd import singular_values


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def gaussian(rows, columns, seed=0):
    return torch.randn(rows, columns, generator=generator(seed))


def sigma_of(matrix):
    return singular_values(matrix)[0]


def scaled(rows, columns, seed, spread=1.0, both=False):
    """Gaussian noise whose rows (and columns) have lognormal scales."""
    scales = torch.exp(spread * torch.randn(rows, 1, generator=generator(seed + 1000)))
    matrix = scales * gaussian(rows, columns, seed)
    if both:
        across = torch.randn(1, columns, generator=generator(seed + 2000))
        matrix = matrix * torch.exp(spread * across)
    return matrix


def spiked(rows, columns, strength, count=1, seed=0):
    """Noise of variance 1 with `count` directions at `strength` times its edge."""
    edge = math.sqrt(rows) + math.sqrt(columns)
    left, right = (
        torch.linalg.qr(gaussian(n, count, seed + i + 1))[0]
        for i, n in enumerate((rows, columns))
    )
    return gaussian(rows, columns, seed) + strength * edge * left @ right.T
