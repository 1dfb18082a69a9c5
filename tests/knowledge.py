"""Items of a study whose arms lose a planted share of knowledge."""

import numpy as np
import pandas as pd

ARMS = {"full": None, "prs": "rank1"}
BENCHMARKS = {"facts": "knowledge", "science": "knowledge", "sums": "mathematics"}
LOSSES = {"full": 0.2, "rank1": 0.05, "shrunk": 0.1}


def item_rows(run, variant, losses, count=200):
    """Items of every benchmark; of knowledge a share of the solved ones is lost."""
    frames = []
    for name, domain in BENCHMARKS.items():
        loss = losses if domain == "knowledge" else 0.0
        score = (np.arange(count) < count * (0.7 - loss)).astype(float)
        frame = pd.DataFrame({"item": [f"{name}-{i}" for i in range(count)]})
        frames.append(frame.assign(benchmark=name, domain=domain, score=score))
    return pd.concat(frames).assign(run=run, variant=variant, step=4 * (run != "base"))


def items_of(runs=("full-seed0",), losses=LOSSES, prs=("prs-seed0",), prs_loss=0.15):
    frames = [item_rows("base", "base", 0.0)]
    frames += [item_rows(run, v, loss) for run in runs for v, loss in losses.items()]
    frames += [item_rows(run, "full", prs_loss + 0.1 * i) for i, run in enumerate(prs)]
    return pd.concat(frames, ignore_index=True)
