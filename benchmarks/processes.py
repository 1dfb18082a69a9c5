"""Whole checkpoints and peak memory, in processes of their own; the peers' tools."""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path

import child
import numpy as np
import pandas as pd
from calls import (
    REPEATS,
    SHAPES,
    TYPICAL,
    Cases,
    Rows,
    names,
    triplet_accuracy,
    update,
)
from matrices import make, measured
from methods import LEADING, THREADS, VALUES
from safetensors import safe_open

from rankone.linalg.svd import MINIMUM_GAP
from rankone.weights.model_files import weight_files

HERE = Path(__file__).resolve().parent
LARGEST = (4096, 11008)
PARTS = ("left", "sigma", "right")
GIGABYTES, QUICK_GIGABYTES = (1, 2, 4), (0.25,)
COMMANDS = {"Rankone, rank 1": False, "Rankone, rank 1 and all values": True}


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


def rankone_pair(options: argparse.Namespace, method: str, spectra: bool) -> Rows:
    """Our own script, with its start-up."""
    with tempfile.TemporaryDirectory() as folder:
        files = (options.base, options.checkpoint)
        row = work("decompose", *files, 1, folder, *["spectra"] * spectra)
        with safe_open(Path(folder) / child.OUTPUTS["factors"], "pt") as factors:

            def triplet(name: str) -> tuple:
                parts = (factors.get_tensor(f"{name}:{x}") for x in PARTS)
                left, sigma, right = parts
                return left[:, 0], sigma[0], right[0]

            row |= worst_of_pair(options, triplet)
    return [{"method": method} | row]


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


def worst_largest(options: argparse.Namespace, largest: pd.Series) -> float:
    """The largest relative error of sigma_1, from a series by layer."""
    errors = []
    for name in names(options):
        truth = measured(update(options, name)).sigma[0]
        errors.append(abs(largest[name.removesuffix(".weight")] / truth - 1))
    return max(errors)


def weightwatcher_pair(options: argparse.Namespace) -> Rows:
    """The library itself, on the same two models."""
    with tempfile.TemporaryDirectory() as temporary:
        (folder := Path(temporary) / "model").mkdir()
        table = Path(temporary) / "details.tsv"
        python = Path(options.peers) / "bin" / "python"
        command = (python, HERE / "weightwatcher_call.py", Path(options.base).resolve())
        row = in_child(*command, link_model(options, folder), table)
        if "error" not in row:
            largest = pd.read_table(table).set_index("name")["sv_max"]
            row["sigma_error"] = worst_largest(options, largest)
    return [{"method": "WeightWatcher"} | row]


def decompose(options: argparse.Namespace) -> Cases:
    """One pair of checkpoints."""
    yield "files in the page cache", partial(pair, options, True)
    yield "files on disk", partial(pair, options, False)
    for method, spectra in COMMANDS.items():
        yield method, partial(rankone_pair, options, method, spectra)
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
