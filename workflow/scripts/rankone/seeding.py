"""Random generators that are seeded by what they are for."""

import hashlib

import torch


def random_generator(seed: int, tensor: str) -> torch.Generator:
    """Random numbers of one tensor; they do not depend on the order of the tensors."""
    key = hashlib.sha256(f"{seed}:{tensor}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(key[:7], "big"))
