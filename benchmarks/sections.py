"""What is measured: each section yields names of cases and how to measure them."""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path

import child
import numpy as np
import pandas as pd
import torch
from matrices import ONE_ENTRY, SPECTRA, Known, make, measured
from methods import LAPACK, LEADING, THREADS, VALUES
from safetensors import safe_open

from rankone.checkpoints import index
from rankone.models import weight_files
from rankone.svd import MINIMUM_GAP
from rankone.updates import locate, read_update

Rows = list[dict]
Cases = Iterator[tuple[str, Callable[[], Rows]]]

HERE = Path(__file__).resolve().parent
SHAPES = {
    "SmolLM2-135M": ((192, 576), (576, 576), (1536, 576), (576, 1536)),
    "Qwen2.5-1.5B": ((256, 1536), (1536, 1536), (8960, 1536), (1536, 8960)),
    "8B": ((1024, 4096), (4096, 4096), (4096, 11008)),
}
QUICK_MODELS, QUICK_SPECTRA = ("SmolLM2-135M",), ("spike 1.02", "spike 1.5", "zero")
QUICK_UPDATES = 14
UPDATE = "update"  # the spectrum of a real one
TYPICAL = ("spike 1.5", "heavy tail 0.5")
LARGE = 5e10  # m * n * min(m, n), from which LAPACK is measured on TYPICAL alone
LARGEST = (4096, 11008)
PARTS = ("left", "sigma", "right")
GIGABYTES, QUICK_GIGABYTES = (1, 2, 4), (0.25,)
REPEATS, ENOUGH = 5, 1.0  # calls, and their total seconds, after which to stop


def timed(call: Callable, *arguments) -> tuple[object, dict]:
    """The last result, and the median time of at most REPEATS calls.

    A call that fails has no result, and its error instead of a time.
    """
    seconds = []
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


def planted(options: argparse.Namespace) -> Iterator[tuple[str, str, int, int]]:
    """Model, spectrum, rows and columns of every matrix that is made."""
    spectra = QUICK_SPECTRA if options.quick else (*SPECTRA, ONE_ENTRY)
    for model in QUICK_MODELS if options.quick else SHAPES:
        for rows, columns in SHAPES[model]:
            for spectrum in spectra:
                yield model, spectrum, rows, columns


def matrices(
    options: argparse.Namespace, methods: dict[str, Callable], accuracy: Callable
) -> Cases:
    """Every matrix, made and real, by these methods."""
    for name in names(options):
        key = {"model": "study", "spectrum": UPDATE}
        known = partial(lambda name: measured(update(options, name)), name)
        yield name, partial(compare, methods, accuracy, key, known)
    for model, spectrum, rows, columns in planted(options):
        chosen = methods
        if rows * columns * min(rows, columns) > LARGE and spectrum not in TYPICAL:
            chosen = {k: v for k, v in methods.items() if k not in LAPACK}
        key = {"model": model, "spectrum": spectrum}
        known = partial(make, spectrum, rows, columns)
        case = f"{rows} x {columns}, {spectrum}"
        yield case, partial(compare, chosen, accuracy, key, known)


def engine(options: argparse.Namespace) -> Cases:
    """The first triplet."""
    return matrices(options, LEADING, triplet_accuracy)


def values(options: argparse.Namespace) -> Cases:
    """All singular values."""
    return matrices(options, VALUES, values_accuracy)


def in_child(*command: object) -> dict:
    """Seconds, peak memory and error of a command, start-up included."""
    launcher = [sys.executable, HERE / "peak.py", *command]
    limits = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
    environment = dict.fromkeys(limits, str(THREADS)) | {"HF_HUB_OFFLINE": "1"}
    run = subprocess.run(
        [str(part) for part in launcher],
        check=True,
        capture_output=True,
        text=True,
        env=os.environ | environment,
    )
    return json.loads(run.stdout)


def work(*arguments: object) -> dict:
    """The same for work of child.py."""
    return in_child(sys.executable, HERE / "child.py", *arguments)


def read_and_subtract(options: argparse.Namespace) -> None:
    """Every tensor of both files, and their difference."""
    with safe_open(options.checkpoint, "pt") as trained:
        for file in weight_files(options.base):
            with safe_open(file, "pt") as base:
                for name in base.keys():  # noqa: SIM118
                    trained.get_tensor(name).sub(base.get_tensor(name))


def forget(files: Iterable[Path]) -> None:
    """Take files out of the page cache (pages that nobody maps, on Linux)."""
    for file in files:
        with open(file, "rb") as handle:
            os.posix_fadvise(handle.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def pair(options: argparse.Namespace, cached: bool) -> Rows:
    """The whole of `decompose` beside reading alone, in turns, in this process."""
    files = (str(options.base), str(options.checkpoint))
    with tempfile.TemporaryDirectory() as folder:
        calls = {
            "read and subtract": partial(read_and_subtract, options),
            "Rankone, rank 1": partial(child.decompose, *files, 1, folder),
            "Rankone, rank 16": partial(child.decompose, *files, 16, folder),
        }
        taken = {method: [] for method in calls}
        for _ in range(REPEATS):
            for method, call in calls.items():
                if not cached:
                    forget([*weight_files(options.base), options.checkpoint])
                begun = time.perf_counter()
                call()
                taken[method].append(time.perf_counter() - begun)
    return [
        {"method": method, "seconds": statistics.median(seconds), "repeats": REPEATS}
        for method, seconds in taken.items()
    ]


def link_model(options: argparse.Namespace, folder: Path) -> Path:
    """The checkpoint as a Hugging Face folder, with the base's configuration."""
    for file in Path(options.base).resolve().iterdir():
        if file.suffix != ".safetensors":
            (folder / file.name).symlink_to(file)
    checkpoint = Path(options.checkpoint).resolve()
    (folder / "model.safetensors").symlink_to(checkpoint)
    return folder


def worst_of_pair(options: argparse.Namespace, triplet: Callable) -> dict:
    """The largest errors of `triplet(name)` (left, sigma, right) over the matrices.

    Directions only where the gap makes the true one identifiable.
    """
    rows = []
    for name in names(options):
        known = measured(update(options, name))
        row = triplet_accuracy((*triplet(name), None), known)
        if known.gap < MINIMUM_GAP:
            del row["cosine"], row["residual"]
        rows.append(row)
    table = pd.DataFrame(rows)
    worst = {key: table[key].max() for key in ("sigma_error", "residual")}
    return worst | {"cosine": table["cosine"].min()}


def rankone_pair(options: argparse.Namespace) -> Rows:
    """Our own script, with its start-up."""
    with tempfile.TemporaryDirectory() as folder:
        files = (options.base, options.checkpoint)
        row = work("decompose", *files, 1, folder)
        with safe_open(Path(folder) / child.OUTPUTS["factors"], "pt") as factors:

            def triplet(name: str) -> tuple:
                parts = (factors.get_tensor(f"{name}:{x}") for x in PARTS)
                left, sigma, right = parts
                return left[:, 0], sigma[0], right[0]

            row |= worst_of_pair(options, triplet)
    return [{"method": "Rankone"} | row]


def mergekit_pair(options: argparse.Namespace) -> Rows:
    """The tool itself; its triplet is in the two factors of the adapter."""
    with tempfile.TemporaryDirectory() as temporary:
        (folder := Path(temporary) / "model").mkdir()
        target = Path(temporary) / "adapter"
        files = ("--model", link_model(options, folder), "--base-model", options.base)
        tool = Path(options.peers) / "bin" / "mergekit-extract-lora"
        row = in_child(tool, *files, "--out-path", target, "--max-rank", 1)
        if "error" not in row:
            adapter = target / "adapter_model.safetensors"
            with safe_open(adapter, "pt") as file:
                row |= worst_of_pair(options, partial(adapter_triplet, file))
    return [{"method": "mergekit-extract-lora"} | row]


def adapter_triplet(file: object, name: str) -> tuple:
    """The triplet of the product of two rank-1 factors."""
    stem = f"base_model.model.{name.removesuffix('.weight')}"
    left = file.get_tensor(f"{stem}.lora_B.weight")[:, 0].float()
    right = file.get_tensor(f"{stem}.lora_A.weight")[0].float()
    norms = left.norm(), right.norm()
    return left / norms[0], norms[0] * norms[1], right / norms[1]


def weightwatcher_pair(options: argparse.Namespace) -> Rows:
    """The library itself, on the same two models."""
    with tempfile.TemporaryDirectory() as temporary:
        (folder := Path(temporary) / "model").mkdir()
        table = Path(temporary) / "details.tsv"
        python = Path(options.peers) / "bin" / "python"
        command = (python, HERE / "weightwatcher_call.py", Path(options.base).resolve())
        row = in_child(*command, link_model(options, folder), table)
    return [{"method": "WeightWatcher"} | row]


def decompose(options: argparse.Namespace) -> Cases:
    """One pair of checkpoints."""
    yield "files in the page cache", partial(pair, options, True)
    yield "files on disk", partial(pair, options, False)
    yield "Rankone", partial(rankone_pair, options)
    if not options.quick:
        yield "mergekit-extract-lora", partial(mergekit_pair, options)
        yield "WeightWatcher", partial(weightwatcher_pair, options)


def one_call(shape: tuple[int, int]) -> Rows:
    """Peak memory of each call on one large matrix."""
    rows, columns = shape
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "matrix.npy"
        np.save(path, make(TYPICAL[0], rows, columns).matrix.numpy())
        key = {"rows": rows, "columns": columns, "spectrum": TYPICAL[0]}
        return [
            key | {"method": method} | work("call", method, path)
            for method in ("idle", *LEADING, *VALUES)
        ]


def whole_model(gigabytes: float) -> Rows:
    """Peak memory of `decompose` on a model of that size."""
    with tempfile.TemporaryDirectory() as folder:
        work("synthesize", gigabytes, folder)
        files = (Path(folder) / "base", Path(folder) / "trained.safetensors")
        row = work("decompose", *files, 1, folder)
    return [{"method": "Rankone", "gigabytes": gigabytes} | row]


def memory(options: argparse.Namespace) -> Cases:
    """Peak memory, in processes of their own."""
    shape = SHAPES["SmolLM2-135M"][-1] if options.quick else LARGEST
    yield "one call", partial(one_call, shape)
    for gigabytes in QUICK_GIGABYTES if options.quick else GIGABYTES:
        yield f"model of {gigabytes} GB", partial(whole_model, gigabytes)


SECTIONS = {
    "engine": engine,
    "values": values,
    "decompose": decompose,
    "memory": memory,
}
