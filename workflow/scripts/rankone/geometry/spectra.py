"""Whole spectra of one step beside those of random matrices: what a rule computes.

Per matrix, never pooled. The objects are W_0 (`base`), W_t (`trained`), the update, and
the update between the weights rounded to bfloat16. Each has the nulls that could fake
its tail:

- scale_matched (of W_t and the update): noise with the same scales of rows and columns;
- perturbed (of W_t): W_0 plus Gaussian noise with the norm of the update;
- shuffled, sign_flipped (of the update): see tails.NULLS;
- gaussian (of the update): independent entries; the spectrum depends on the shape
  alone, so all matrices of a shape share its draws;
- rounded (of the bfloat16 update): what rounding shows of such noise.

W_0 has none: it is itself what W_t is compared with.
"""

from collections.abc import Callable
from functools import partial

import numpy as np
import pandas as pd
import torch
from tqdm import tqdm

from rankone.linalg import power_law, random_matrices, spectral_measures
from rankone.linalg.power_law import (
    PowerLaw,
    compare_tails,
    goodness_of_fit,
    hill_path,
    resolved,
)
from rankone.linalg.svd import singular_values
from rankone.seeding import random_generator
from rankone.weights.checkpoints import WeightMap, read
from rankone.weights.updates import locate, matrix_key, read_trained, read_update

BASE, TRAINED, UPDATE, ROUNDED = "base", "trained", "update", "update_bfloat16"
GAUSSIAN, SCALE_MATCHED, PERTURBED = "gaussian", "scale_matched", "perturbed"
# Statistics that do not depend on the unit, of which nulls are kept.
COMPARED = (
    *("hill_alpha", "alpha", "ks", "outliers", "soft_rank", "stable_rank"),
    *("effective_rank", "participation_ratio"),
    *("top_1_energy", "top_1pct_energy", "top_10pct_energy"),
)
DRAW_COLUMNS = [
    *("layer", "module", "tensor", "shape", "object", "null", "draw", *COMPARED)
]
TABLES = ("values", "draws", "paths", "curves")
# Draws of the Gaussian null for every draw of one of a single matrix.
SHARED = 10
HILL_SHARES = (0.01, 0.02, 0.03, 0.05, 0.08, 0.1, 0.15, 0.2, 0.3, 0.5)
FARMS_RATIO, FARMS_WINDOWS = 1.0, 2
Matrices = dict[str, torch.Tensor]
Null = Callable[[torch.Generator], torch.Tensor]


def objects(base: WeightMap, trained: WeightMap, name: str) -> Matrices:
    """The matrices [out, in] to compare; W_0 alone where `trained` is empty."""
    if not trained:
        return {BASE: read(base, name)}
    return {
        TRAINED: read_trained(base, trained, name),
        UPDATE: read_update(base, trained, name),
        ROUNDED: read_update(base, trained, name, dtype=torch.bfloat16),
    }


def nulls(kind: str, matrices: Matrices, start: torch.Tensor) -> dict[str, Null]:
    """The nulls of one object that are drawn for each matrix by itself."""
    if kind == BASE:
        return {}
    update = matrices[UPDATE]
    if kind == ROUNDED:
        return {"rounded": lambda g: random_matrices.rounded(update, start, g)}
    own = {SCALE_MATCHED: partial(random_matrices.scale_matched, matrices[kind])}
    if kind == TRAINED:
        return own | {PERTURBED: lambda g: start + random_matrices.gaussian(update, g)}
    names = "shuffled", "sign_flipped"
    return own | {name: partial(random_matrices.NULLS[name], update) for name in names}


def values(matrix: torch.Tensor) -> torch.Tensor:
    """All singular values of a matrix [min(out, in)], float64."""
    return singular_values(matrix)[0].cpu()


def compared(matrix: torch.Tensor) -> dict[str, float]:
    """The compared statistics of one matrix."""
    found = spectral_measures.spectral_statistics(values(matrix), *matrix.shape)
    return {name: found[name] for name in COMPARED}


def measured(
    matrix: torch.Tensor, sigma: torch.Tensor, fit_draws: int | None, seed: str
) -> dict[str, float]:
    """Every statistic of one matrix: fit, comparisons, goodness of fit, ranks, FARMS.

    `fit_draws` are those of the bootstrap of the fit; 0 leaves its p out, None leaves
    out all that is not compared with nulls.
    """
    found = spectral_measures.spectral_statistics(sigma, *matrix.shape)
    if fit_draws is None:
        return found
    fit = PowerLaw(*(found[name] for name in PowerLaw.__dataclass_fields__))
    for name, (ratio, p) in compare_tails(resolved(sigma), fit).items():
        found |= {f"{name}_ratio": ratio, f"{name}_p": p}
    if fit_draws:
        numbers = np.random.default_rng(random_generator(seed, "fit").initial_seed())
        found["fit_p"] = goodness_of_fit(sigma, fit, fit_draws, numbers)
    windows = FARMS_RATIO, FARMS_WINDOWS, random_generator(seed, "farms")
    return found | {"farms_alpha": spectral_measures.farms_alpha(matrix, *windows)}


def hill_alphas(sigma: torch.Tensor) -> pd.DataFrame:
    """Hill's alpha against the share of the values that it is taken from."""
    eigenvalues = resolved(sigma)
    shares = {power_law.counted(s, max(len(eigenvalues), 1)): s for s in HILL_SHARES}
    ks = sorted(k for k in shares if k < len(eigenvalues))
    return hill_path(eigenvalues, ks).assign(share=[shares[k] for k in ks])


def examine(
    base: WeightMap, trained: WeightMap, draws: int, fit_draws: int | None, label: str
) -> dict[str, pd.DataFrame]:
    """Tables of all matrices of a step: values, draws, paths, curves.

    `trained` is empty for the base itself. `values` has one row a matrix and object,
    `draws` one a draw of a null (those of the Gaussian belong to a shape and have no
    tensor), `paths` Hill's alphas, `curves` the spectra of the middle layer's matrices
    and of one draw of each null.
    """
    parts: dict[str, list] = {name: [] for name in TABLES}
    names = sorted(filter(locate, base))
    layers = sorted({locate(name)[0] for name in names})
    middle = layers[len(layers) // 2]
    for name in tqdm(names, desc=f"Spectra of {label}", mininterval=1):
        matrices, start = objects(base, trained, name), read(base, name)
        for kind, matrix in matrices.items():
            key = matrix_columns(name, matrix) | {"object": kind}
            seed = f"{label}:{name}:{kind}"
            sigma, own = values(matrix), nulls(kind, matrices, start)
            parts["values"].append(key | measured(matrix, sigma, fit_draws, seed))
            parts["paths"].append(hill_alphas(sigma).assign(**key))
            parts["draws"] += drawn(own, draws, key, seed)
            if key["layer"] == middle:
                parts["curves"] += curves(sigma, own, key, seed)
    if trained:
        shapes = sorted({row["shape"] for row in parts["values"]})
        parts["draws"] += shared(shapes, draws * SHARED, label)
    return {
        "values": pd.DataFrame(parts["values"]),
        "draws": pd.DataFrame(parts["draws"], columns=DRAW_COLUMNS),
        "paths": pd.concat(parts["paths"], ignore_index=True),
        "curves": pd.concat(parts["curves"], ignore_index=True),
    }


def matrix_columns(name: str, matrix: torch.Tensor) -> dict:
    """The columns that say which matrix it is; `shape` is short x long side."""
    short, long = sorted(matrix.shape)
    return matrix_key(name) | {"tensor": name, "shape": f"{short}x{long}"}


def drawn(own: dict[str, Null], draws: int, key: dict, seed: str) -> list[dict]:
    """Compared statistics of the draws of each null of one matrix."""
    return [
        key | {"null": null, "draw": i} | compared(make(generator))
        for null, make in own.items()
        for generator in [random_generator(seed, null)]
        for i in range(draws)
    ]


def shared(shapes: list[str], draws: int, label: str) -> list[dict]:
    """The same for the updates' Gaussian null; transposed shapes have the same one."""
    key = {"tensor": "", "object": UPDATE, "null": GAUSSIAN}
    found = []
    for shape in shapes:
        unit = torch.ones(*map(int, shape.split("x")))
        generator = random_generator(label, shape)
        found += [
            key
            | {"shape": shape, "draw": i}
            | compared(random_matrices.gaussian(unit, generator))
            for i in range(draws)
        ]
    return found


def curves(
    sigma: torch.Tensor, own: dict[str, Null], key: dict, seed: str
) -> list[pd.DataFrame]:
    """Spectra of one matrix and of a draw of each of its nulls (`null` is empty)."""
    spectra = {"": sigma}
    for null, make in own.items():
        spectra[null] = values(make(random_generator(seed, null)))
    return [
        pd.DataFrame({"index": range(1, len(each) + 1), "sigma": each.numpy()}).assign(
            **key, null=null
        )
        for null, each in spectra.items()
    ]
