"""Calls on one matrix after another, in this process: times and errors.

A section yields names of cases and how to measure them.
"""

import argparse
import statistics
import time
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
import torch
from matrices import ONE_ENTRY, SPECTRA, Known, make, measured
from methods import LAPACK, LEADING, VALUES

from rankone.weights.checkpoints import index
from rankone.weights.model_files import weight_files
from rankone.weights.updates import locate, read_update

Rows = list[dict]
Cases = Iterator[tuple[str, Callable[[], Rows]]]

SHAPES = {
    "SmolLM2-135M": ((192, 576), (576, 576), (1536, 576), (576, 1536)),
    "Qwen2.5-1.5B": ((256, 1536), (1536, 1536), (8960, 1536), (1536, 8960)),
    "8B": ((1024, 4096), (4096, 4096), (4096, 11008)),
}
QUICK_MODELS, QUICK_SPECTRA = ("SmolLM2-135M",), ("spike 1.02", "spike 1.5", "zero")
QUICK_UPDATES = 14
UPDATE = "update"  # the spectrum of a real one
TYPICAL = ("spike 1.5", "heavy tail 0.5")
VALUES_SPECTRA = ("noise", *TYPICAL, "exact rank 3")  # the time hardly depends on it
LARGE = 5e10  # m * n * min(m, n), from which LAPACK is measured on TYPICAL alone
REPEATS, ENOUGH = 5, 1.0  # calls, and their total seconds, after which to stop
# The BLAS of NumPy and SciPy keeps its threads spinning for a while after a call.
PAUSE = 0.2


def timed(call: Callable, *arguments) -> tuple[object, dict]:
    """The last result, and the median time of at most REPEATS calls.

    A call that fails has no result, and its error instead of a time.
    """
    seconds = []
    time.sleep(PAUSE)
    while not seconds or (len(seconds) < REPEATS and sum(seconds) < ENOUGH):
        begun = time.perf_counter()
        try:
            result = call(*arguments)
        except Exception as error:  # noqa: BLE001
            return None, {"error": f"{type(error).__name__}: {error}"}
        seconds.append(time.perf_counter() - begun)
    return result, {"seconds": statistics.median(seconds), "repeats": len(seconds)}


def cosine(vector: torch.Tensor, truth: np.ndarray) -> float:
    """|cos| of the angle to the true vector, in float64."""
    vector = vector.double().numpy()
    return abs(vector @ truth) / np.linalg.norm(vector)


def triplet_accuracy(found: tuple, known: Known) -> dict:
    """Errors of a triplet; directions only where there are any."""
    left, sigma, right, identifiable = found
    sigma, first = float(sigma), known.sigma[0]
    row = {"identifiable": identifiable}
    if first == 0:
        return row | {"sigma_error": abs(sigma)}
    matrix = known.matrix.double()
    away = matrix @ right.double() - sigma * left.double()
    back = matrix.T @ left.double() - sigma * right.double()
    return row | {
        "cosine": min(cosine(left, known.left), cosine(right, known.right)),
        "sigma_error": abs(sigma - first) / first,
        "residual": max(away.norm().item(), back.norm().item()) / first,
    }


def values_accuracy(sigma: torch.Tensor, known: Known) -> dict:
    """The largest error, relative to the first singular value if there is one."""
    error = np.abs(sigma.double().numpy() - known.sigma).max()
    return {"values_error": error / (known.sigma[0] or 1)}


def compare(
    methods: dict[str, Callable],
    accuracy: Callable[[object, Known], dict],
    key: dict,
    known: Callable[[], Known],
) -> Rows:
    """One row a method, all on the same matrix."""
    truth, rows = known(), []
    shape = dict(zip(("rows", "columns"), truth.matrix.shape, strict=True))
    key = key | shape | {"gap": truth.gap}
    for method, call in methods.items():
        found, row = timed(call, truth.matrix)
        row |= {} if found is None else accuracy(found, truth)
        rows.append(key | {"method": method} | row)
    return rows


def update(options: argparse.Namespace, name: str) -> torch.Tensor:
    """The update of one matrix between the two checkpoints."""
    base, trained = weight_files(options.base), [Path(options.checkpoint)]
    before = index(base)
    after = index(trained)
    return read_update(before, after, name)


def names(options: argparse.Namespace) -> list[str]:
    """The matrices of the checkpoint pair."""
    base = index(weight_files(options.base))
    found = sorted(filter(locate, base))
    return found[:QUICK_UPDATES] if options.quick else found


def planted(
    options: argparse.Namespace, spectra: Iterable[str]
) -> Iterator[tuple[str, str, int, int]]:
    """Model, spectrum, rows and columns of every matrix that is made."""
    spectra = QUICK_SPECTRA if options.quick else spectra
    for model in QUICK_MODELS if options.quick else SHAPES:
        for rows, columns in SHAPES[model]:
            for spectrum in spectra:
                yield model, spectrum, rows, columns


def matrices(
    options: argparse.Namespace,
    methods: dict[str, Callable],
    accuracy: Callable,
    spectra: Iterable[str],
) -> Cases:
    """Every matrix, made and real, by these methods."""
    for name in names(options):
        key = {"model": "study", "spectrum": UPDATE}
        known = partial(lambda name: measured(update(options, name)), name)
        yield name, partial(compare, methods, accuracy, key, known)
    for model, spectrum, rows, columns in planted(options, spectra):
        chosen = methods
        if rows * columns * min(rows, columns) > LARGE and spectrum not in TYPICAL:
            chosen = {k: v for k, v in methods.items() if k not in LAPACK}
        key = {"model": model, "spectrum": spectrum}
        known = partial(make, spectrum, rows, columns)
        case = f"{rows} x {columns}, {spectrum}"
        yield case, partial(compare, chosen, accuracy, key, known)


def engine(options: argparse.Namespace) -> Cases:
    """The first triplet."""
    return matrices(options, LEADING, triplet_accuracy, (*SPECTRA, ONE_ENTRY))


def values(options: argparse.Namespace) -> Cases:
    """All singular values."""
    return matrices(options, VALUES, values_accuracy, VALUES_SPECTRA)
