"""One piece of work in a process of its own, so that its memory can be measured.

child.py call METHOD MATRIX.npy               one call (`idle`: only read the matrix)
child.py decompose BASE CHECKPOINT RANK DIR [spectra]   factors of a pair, in DIR
child.py synthesize GIGABYTES DIR             DIR/base and DIR/trained.safetensors
"""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LAYER = {  # Qwen2.5-1.5B
    "self_attn.q_proj": (1536, 1536),
    "self_attn.k_proj": (256, 1536),
    "self_attn.v_proj": (256, 1536),
    "self_attn.o_proj": (1536, 1536),
    "mlp.gate_proj": (8960, 1536),
    "mlp.up_proj": (8960, 1536),
    "mlp.down_proj": (1536, 8960),
}
OUTPUTS = {
    "factors": "factors.safetensors",
    "matrices": "matrices.parquet",
    "triplets": "triplets.parquet",
    "spectra": "spectra.parquet",
}


def call(method: str, path: str) -> None:
    """One call on a stored matrix."""
    import numpy as np
    import torch
    from methods import LEADING, VALUES

    matrix = torch.from_numpy(np.load(path))
    if method != "idle":
        (LEADING | VALUES)[method](matrix)


def decompose(
    base: str, checkpoint: str, rank: int | str, folder: str, spectra: str = ""
) -> None:
    """What the rule `decompose` runs; all singular values if `spectra` is not empty."""
    from decompose import main

    settings = {"rank": int(rank), "updates": ["global"], "views": ["float32"]}
    outputs = {name: str(Path(folder) / file) for name, file in OUTPUTS.items()}
    settings["spectra"] = bool(spectra)
    main("benchmark", 1, base, checkpoint, None, settings, outputs)


def synthesize(gigabytes: str, folder: str) -> None:
    """A base in shards of one layer, and a trained file: noise and a spike away."""
    import torch
    from safetensors.torch import save_file

    target, generator = Path(folder), torch.Generator().manual_seed(0)
    size = 4 * sum(rows * columns for rows, columns in LAYER.values())
    trained = {}
    (target / "base").mkdir()
    for layer in range(-int(-float(gigabytes) * 1e9 // size)):
        weights = {}
        for module, shape in LAYER.items():
            name = f"model.layers.{layer}.{module}.weight"
            weights[name] = torch.randn(shape, generator=generator) / 40
            left, right = (torch.randn(n, generator=generator) for n in shape)
            change = torch.randn(shape, generator=generator).addr_(left, right)
            trained[name] = change.mul_(1e-5).add_(weights[name])
        save_file(weights, target / "base" / f"model-{layer:05d}.safetensors")
    save_file(trained, target / "trained.safetensors")


def main(work: str, *arguments: str) -> None:
    """Set up as the workflow's jobs are, then do one of the above."""
    sys.path.append(str(ROOT / "workflow" / "scripts"))
    from methods import limit_threads

    limit_threads()
    {"call": call, "decompose": decompose, "synthesize": synthesize}[work](*arguments)


if __name__ == "__main__":
    main(*sys.argv[1:])
