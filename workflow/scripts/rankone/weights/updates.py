"""Updates of weight matrices: which tensors, how they are read, what they say."""

import re
from collections.abc import Iterator

import numpy as np
import pandas as pd
import torch
from tqdm import tqdm

from rankone.linalg.rank_measures import effective_rank, stable_rank
from rankone.linalg.svd import Factors, leading, low_rank, singular_values
from rankone.names import MODULES
from rankone.weights.checkpoints import WeightMap, read
from rankone.weights.settings import Decompose

MATRIX = re.compile(rf"\.layers\.(\d+)\.\w+\.({'|'.join(MODULES)})\.weight$")
VIEWS = {"float32": torch.float32, "bfloat16": torch.bfloat16}


def locate(name: str) -> tuple[int, str] | None:
    """Layer and module of a substituted weight matrix; None for every other tensor."""
    match = MATRIX.search(name)
    return (int(match[1]), match[2]) if match else None


def matrix_key(name: str) -> dict:
    """Layer and module of a matrix, as columns of a row."""
    layer, module = locate(name)
    return {"layer": layer, "module": module}


def adapter(
    trained: WeightMap, before: WeightMap, name: str
) -> tuple[torch.Tensor, torch.Tensor] | None:
    """Factors [out, r] and [r, in] of a LoRA run's update; None for other runs.

    From one LoRA checkpoint to another the update is a product, too: of the factors
    side by side.
    """
    if f"{name}:lora_B" not in trained:
        return None
    left, right = read(trained, f"{name}:lora_B"), read(trained, f"{name}:lora_A")
    if f"{name}:lora_B" in before:
        left = torch.cat([left, -read(before, f"{name}:lora_B")], dim=1)
        right = torch.cat([right, read(before, f"{name}:lora_A")], dim=0)
    return left, right


def read_trained(base: WeightMap, trained: WeightMap, name: str) -> torch.Tensor:
    """The weight of one tensor at a step, float32; the base's where it did not train.

    `trained` is empty for the base itself.
    """
    weight = read(trained if name in trained else base, name)
    factors = adapter(trained, {}, name)
    return torch.addmm(weight, *factors) if factors else weight


def read_update(
    base: WeightMap,
    trained: WeightMap,
    name: str,
    before: WeightMap | None = None,
    dtype: torch.dtype = torch.float32,
) -> torch.Tensor:
    """The update of one tensor [out, in] float32: against the base, or from `before`.

    With another `dtype` it is the update between the weights rounded to it, as
    checkpoints in that dtype would show it.
    """
    before = before or {}
    if dtype is torch.float32 and (factors := adapter(trained, before, name)):
        return factors[0] @ factors[1]
    start = read_trained(base, before, name).to(dtype).float()
    return read_trained(base, trained, name).to(dtype).float() - start


def decompose(
    base: WeightMap,
    trained: WeightMap,
    name: str,
    rank: int,
    *,
    before: WeightMap | None = None,
    dtype: torch.dtype = torch.float32,
    spectrum: bool = True,
    device: torch.device | str = "cpu",
) -> tuple[Factors, torch.Tensor | None]:
    """Factors of one update, and on request all its singular values [d], float64.

    The update is that of read_update(); a LoRA run's is never formed.
    """
    factors = adapter(trained, before or {}, name)
    if factors and dtype is torch.float32:
        whole = low_rank(*factors, rank=factors[0].shape[1])
        values = torch.zeros(min(len(factors[0]), factors[1].shape[1])).double()
        values[: len(whole.sigma)] = whole.sigma
        return low_rank(*factors, rank), values if spectrum else None
    update = read_update(base, trained, name, before, dtype).to(device)
    values = singular_values(update)[0].cpu() if spectrum else None
    return leading(update, rank), values


def decompositions(
    *,
    base: WeightMap,
    trained: WeightMap,
    before: WeightMap,
    settings: Decompose,
    label: str,
    device: torch.device | str = "cpu",
) -> Iterator[tuple[dict, Factors, torch.Tensor | None]]:
    """Key, factors and singular values of every update and view of every matrix.

    Local updates of the checkpoint `trained` are from the one `before`, which is empty
    for the base. `label` is for the progress bar.
    """
    for name in tqdm(sorted(filter(locate, base)), desc=label, mininterval=1):
        for kind in settings.updates:
            for view in settings.views:
                key = {"update": kind, "view": view} | matrix_key(name)
                found = decompose(
                    *(base, trained, name, settings.rank),
                    before=before if kind == "local" else None,
                    dtype=VIEWS[view],
                    spectrum=settings.spectra,
                    device=device,
                )
                yield key | {"tensor": name}, *found


def update_statistics(factors: Factors, values: torch.Tensor | None) -> dict:
    """One row of statistics of an update.

    `norm_share` is sigma_1 / ||update||_F and `energy_share` its square;
    `effective_rank` needs all singular values [d] and is NaN without them.
    """
    sigma = factors.sigma[0].item()
    share = sigma / factors.norm if factors.norm > 0 else float("nan")
    return {
        "rows": len(factors.left),
        "columns": factors.right.shape[1],
        "frobenius_norm": factors.norm,
        "sigma_1": sigma,
        "norm_share": share,
        "energy_share": share**2,
        "stable_rank": stable_rank(factors.sigma, factors.norm),
        "effective_rank": float("nan") if values is None else effective_rank(values),
        "relative_gap": factors.gap[0].item(),
        "residual": factors.residual[0].item(),
        "identifiable": bool(factors.identifiable[0]),
    }


def triplets(factors: Factors) -> dict:
    """Columns of one row a triplet: what is known of each direction."""
    return {
        "index": range(1, len(factors.sigma) + 1),
        "sigma": factors.sigma.cpu().numpy(),
        "residual": factors.residual.cpu().numpy(),
        "gap": factors.gap.cpu().numpy(),
        "identifiable": factors.identifiable.cpu().numpy(),
    }


def spectrum(values: torch.Tensor | None) -> dict:
    """Columns of one row a singular value; no rows without them."""
    sigma = np.zeros(0) if values is None else values.numpy()
    return {"index": range(1, len(sigma) + 1), "sigma": sigma}


def tidy(keys: list[dict], parts: list[dict]) -> pd.DataFrame:
    """Columns of equal lengths under each other, with the key of each part repeated."""
    table = pd.DataFrame(keys)
    rows = np.repeat(table.index, [len(part["index"]) for part in parts])
    columns = {
        name: np.concatenate([part[name] for part in parts]) for name in parts[0]
    }
    return table.loc[rows].reset_index(drop=True).assign(**columns)
