"""A tiny study with planted scores, written as the stages would write it."""

from collections.abc import Mapping, Sequence
from itertools import combinations, product
from pathlib import Path

import numpy as np
import pandas as pd

from rankone.names import arm_of

SHAPES = {
    "q_proj": (12, 12),
    "k_proj": (4, 12),
    "v_proj": (4, 12),
    "o_proj": (12, 12),
    "gate_proj": (20, 12),
    "up_proj": (20, 12),
    "down_proj": (12, 20),
}
DOMAINS = {
    "problems_held_out": "mathematics",
    "problems_shifted": "mathematics",
    "problems_train_probe": "mathematics",
    "unit_conversion": "mathematics",
    "wikidata_facts": "knowledge",
    "science_questions": "knowledge",
}
BASE_SCORES = {
    "problems_held_out": 0.3,
    "problems_shifted": 0.1,
    "problems_train_probe": 0.3,
    "unit_conversion": 0.5,
    "wikidata_facts": 0.6,
    "science_questions": 0.4,
}
FULL_SCORES = {
    **BASE_SCORES,
    "problems_held_out": 0.7,
    "problems_shifted": 0.3,
    "problems_train_probe": 0.9,
}
KEPT = {
    "full": 1.0,
    "rank1": 0.75,
    "rank1_rescaled": 1.0,
    "rank4": 1.0,
    "rank16": 1.0,
    "without_rank1": 0.5,
    "shrunk": 1.0,
    "random_rank1": 0.0,
}
ITEMS = 200
CURVES = [
    *(("base", ""), ("trained", ""), ("update", "")),
    *(("update", "scale_matched"), ("update", "shuffled")),
]
SAMPLED = ("full", "rank1", "without_rank1", "shrunk")
PROBLEMS, SAMPLES = 40, 32


def items(run: str, step: int, variant: str, scores: Mapping[str, float]):
    """Item rows: the first share of each benchmark's items is solved, the rest not."""
    frames = [
        pd.DataFrame(
            {
                "run": run,
                "step": step,
                "variant": variant,
                "benchmark": name,
                "domain": DOMAINS[name],
                "metric": "acc",
                "item": [f"{name}-{i:03d}" for i in range(ITEMS)],
                "score": (np.arange(ITEMS) < round(score * ITEMS)).astype(float),
                "response": None,
            }
        )
        for name, score in scores.items()
    ]
    return pd.concat(frames, ignore_index=True)


def between(share: float, full: Mapping[str, float]) -> dict[str, float]:
    """Scores that keep `share` of the gain on every benchmark."""
    return {k: BASE_SCORES[k] + share * (full[k] - BASE_SCORES[k]) for k in full}


def write_evaluations(
    folder: Path,
    runs: Sequence[str],
    steps: Sequence[int],
    full: Mapping[str, float] = FULL_SCORES,
    changed: Mapping[str, str] | None = None,
) -> list[Path]:
    """Item files of the base and of each run; all variants at the last step only.

    `changed` gives the recipe of each run with an intervention, which is like it.
    """
    frames = {"base/step-0": [items("base", 0, "base", BASE_SCORES)]}
    for run in runs:
        for step in steps:
            kept = KEPT if step == steps[-1] else {"full": step / steps[-1]}
            frames[f"{run}/step-{step}"] = [
                items(run, step, variant, between(share, full))
                for variant, share in kept.items()
            ]
    for run, recipe in (changed or {}).items():
        scores = between(KEPT[recipe], full)
        frames[f"{run}/step-{steps[-1]}"] = [items(run, steps[-1], "full", scores)]
    paths = [folder / "evaluate" / f"{name}.parquet" for name in frames]
    for path, parts in zip(paths, frames.values(), strict=True):
        path.parent.mkdir(parents=True, exist_ok=True)
        pd.concat(parts).to_parquet(path, index=False)
    return paths


def write_metrics(folder: Path, runs: Sequence[str], steps: int) -> list[Path]:
    """One metrics.tsv per run."""
    paths = []
    for run in runs:
        step = np.arange(1, steps + 1)
        table = pd.DataFrame({"run": run, "step": step, "reward": step / (steps + 1)})
        table = table.assign(entropy=0.5, substitution_seconds=0.7)
        paths.append(folder / "train" / run / "metrics.tsv")
        paths[-1].parent.mkdir(parents=True, exist_ok=True)
        table.to_csv(paths[-1], sep="\t", index=False)
    return paths


def write_decompositions(
    folder: Path, runs: Sequence[str], steps: Sequence[int], layers: int = 3
) -> tuple[list[Path], list[Path]]:
    """Matrices and spectra of every run and step, with geometric spectra."""
    matrices, spectra = [], []
    for run in runs:
        for step in steps:
            stem = folder / "decompose" / run / f"step-{step}"
            stem.parent.mkdir(parents=True, exist_ok=True)
            rows, values = _decomposition(run, step, layers)
            matrices.append(Path(f"{stem}.matrices.parquet"))
            spectra.append(Path(f"{stem}.spectra.parquet"))
            pd.DataFrame(rows).to_parquet(matrices[-1], index=False)
            pd.concat(values).to_parquet(spectra[-1], index=False)
    return matrices, spectra


def _decomposition(run: str, step: int, layers: int):
    rows, values = [], []
    for layer in range(layers):
        for module, (height, width) in SHAPES.items():
            index = np.arange(1, min(height, width) + 1)
            sigma = step * (0.4 + 0.05 * layer) ** (index - 1.0)
            norm = np.linalg.norm(sigma)
            key = {"run": run, "step": step, "update": "global", "view": "float32"}
            key |= {"layer": layer, "module": module}
            key["tensor"] = f"layers.{layer}.{module}.weight"
            row = {**key, "rows": height, "columns": width, "frobenius_norm": norm}
            row["norm_share"] = sigma[0] / norm
            row["identifiable"] = (layer, module) != (1, "q_proj")
            rows.append(row)
            values.append(pd.DataFrame({**key, "index": index, "sigma": sigma}))
    return rows, values


def write_probes(
    folder: Path, arms: Mapping[str, str | None], steps: Sequence[int], seeds: int = 2
) -> tuple[list[Path], list[Path]]:
    """Probes and updates of every arm; rank-1 arms lose on training problems alone."""
    probes, updates = [], []
    for arm, recipe in arms.items():
        for run in (f"{arm}-seed{seed}" for seed in range(seeds)):
            places = [(0, "step")]
            for step in steps:
                names = ("step",) if recipe is None else ("before", "after")
                places += [(step, name) for name in names]
            stem = folder / "train" / run
            stem.mkdir(parents=True, exist_ok=True)
            rows = [probe_rows(run, place, recipe, steps[-1]) for place in places]
            probes.append(stem / "probes.parquet")
            pd.concat(rows).to_parquet(probes[-1], index=False)
            updates.append(stem / "updates.parquet")
            update_rows(run, places[1:]).to_parquet(updates[-1], index=False)
    return probes, updates


def probe_rows(run: str, place: tuple, recipe: str | None, last: int) -> pd.DataFrame:
    """Answers to forty problems of each set: the first share of them is right."""
    step, moment = place
    frames = []
    for split in ("train_probe", "held_out", "shifted"):
        lost = 0.4 if recipe == "rank1" and split == "train_probe" else 0.0
        share = 0.2 + (0.6 - lost * (moment == "after")) * step / last
        for sampling, samples in (("greedy", 1), ("sampled", 2)):
            frame = pd.DataFrame({"problem": [f"{split}-{i:02d}" for i in range(40)]})
            right = np.arange(40) < round(40 * share)
            frame = frame.assign(correct=right * samples, samples=samples)
            frames.append(frame.assign(split=split, sampling=sampling))
    return pd.concat(frames).assign(run=run, step=step, moment=moment)


def update_rows(run: str, places: Sequence[tuple]) -> pd.DataFrame:
    """Two matrices at each moment; a substitution halves their norm."""
    rows = []
    for step, moment in places:
        for layer in range(2):
            norm = step * (0.5 if moment == "after" else 1.0)
            row = {"run": run, "step": step, "moment": moment, "layer": layer}
            row |= {"module": "q_proj", "tensor": f"layers.{layer}.q_proj.weight"}
            row |= {"frobenius_norm": norm, "norm_share": 0.5, "identifiable": True}
            row |= {"cosine_left": 0.9, "cosine_right": 0.8}
            rows.append(row | {"exp_avg_norm": 1e-3, "exp_avg_sq_norm": 1e-6})
    return pd.DataFrame(rows)


def write_answers(
    folder: Path, runs: Sequence[str], step: int, changed: Mapping[str, str]
) -> tuple[list[Path], list[Path]]:
    """Sampled answers and KL of the base and of each run, with KEPT as what is kept."""
    models = [("base", 0, {"base": 0.0})]
    models += [(run, step, {v: KEPT[v] for v in SAMPLED}) for run in runs]
    models += [(run, step, {"full": KEPT[recipe]}) for run, recipe in changed.items()]
    answers, kl = [], []
    for number, (run, at, kept) in enumerate(models):
        stem = folder / "sample" / run / f"step-{at}"
        stem.parent.mkdir(parents=True, exist_ok=True)
        found = [
            frame.assign(run=run, step=at, variant=variant)
            for place, (variant, share) in enumerate(kept.items())
            for frame in answer_rows(share, 10 * number + place)
        ]
        answers.append(Path(f"{stem}.parquet"))
        pd.concat(found[::2]).to_parquet(answers[-1], index=False)
        kl.append(Path(f"{stem}.kl.parquet"))
        pd.concat(found[1::2]).to_parquet(kl[-1], index=False)
    return answers, kl


def answer_rows(share: float, seed: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Answers and KL: the more is kept, the more solved; what was hard is lost."""
    rng = np.random.default_rng(seed)
    rate = np.linspace(0.02, 0.7, PROBLEMS)
    rate = np.where(rate > 0.1, rate + 0.25 * share, rate * (1 - share))
    keys = {
        "problem": np.repeat([f"held_out-{i:02d}" for i in range(PROBLEMS)], SAMPLES),
        "sample": np.tile(np.arange(SAMPLES), PROBLEMS),
    }
    frame = pd.DataFrame(keys).assign(tokens=4, response="", logp=-2.0)
    frame["base_logp"] = -3 + share + 0.2 * rng.random(len(frame))
    frame["correct"] = rng.random(len(frame)) < np.repeat(rate, SAMPLES)
    kl = frame[frame["sample"] < 2]
    return frame, kl.assign(kl=share**2 * rng.gamma(4, 0.1, len(kl)))


def write_alignment(folder: Path, runs: Sequence[str]) -> None:
    """Tables of alignment and of trajectories: left vectors turn less."""
    steps, rows, contrasts = (2, 4, 6, 8), [], []
    shapes = {
        m: "square" if r == c else "tall" if r > c else "wide"
        for m, (r, c) in SHAPES.items()
    }
    for run, (module, shape), side in product(runs, shapes.items(), ("left", "right")):
        for first, second in combinations(steps, 2):
            kind = "adjacent" if second - first == 2 else "further"
            kind = "to_final" if second == 8 else kind
            cosine = (0.95 if side == "left" else 0.8) ** (second - first)
            row = {"arm": arm_of(run), "run": run, "kind": kind, "module": module}
            row |= {"shape": shape, "step": first, "other": str(second), "side": side}
            rows.append(row | {"cosine": cosine, "null": cosine - 0.1, "n": 3})
    for arm, shape in product(dict.fromkeys(map(arm_of, runs)), ("square", "tall")):
        row = {"arm": arm, "shape": shape, "delta": 0.2, "z": 3.0, "n": 3}
        row |= {"low": 0.1, "high": 0.3, "z_low": 2.5, "z_high": 3.5}
        shuffled = {"shuffled": 0.05, "beyond": 0.15}
        contrasts += [
            row | {"kind": "adjacent"} | shuffled,
            row | {"kind": "across_layers"},
        ]
    pd.DataFrame(rows).to_csv(folder / "alignment.tsv", sep="\t", index=False)
    table = pd.DataFrame(contrasts)
    table.to_csv(folder / "alignment_contrast.tsv", sep="\t", index=False)
    write_trajectories(folder, runs)


def write_trajectories(folder: Path, runs: Sequence[str]) -> None:
    """Statistics of every matrix's trajectory, above their nulls."""
    statistics = ("first_component_share", "linearity_r2", "linear_share")
    rows = []
    for run, module, layer, name in product(runs, SHAPES, range(3), statistics):
        row = {"arm": arm_of(run), "run": run, "module": module, "layer": layer}
        row |= {"tensor": f"layers.{layer}.{module}.weight", "steps": 5}
        row |= {"statistic": name, "value": 0.9 + 0.01 * layer}
        row |= {"null_low": 0.79, "null": 0.8, "null_high": 0.81, "momentum": 0.85}
        rows.append(row)
    table = pd.DataFrame(rows)
    table.to_parquet(folder / "trajectory_matrices.parquet", index=False)


def write_spectra(folder: Path, runs: Sequence[str]) -> None:
    """Tables of spectra: weights as they were, updates heavier than their nulls."""
    rows, curves = [], []
    pairs = [("trained", "base", 0.0), ("update", "scale_matched", -1.5)]
    for run, module, layer in product(runs, SHAPES, range(3)):
        key = {"arm": arm_of(run), "run": run, "module": module, "layer": layer}
        for number, (kind, null, shift) in enumerate(pairs):
            row = key | {"object": kind, "null": null, "statistic": "hill_alpha"}
            mean = 4 + 0.2 * layer + 0.1 * number
            rows.append(row | {"null_mean": mean, "value": mean + shift})
        for place, (kind, null) in enumerate(CURVES):
            index = np.arange(1, min(SHAPES[module]) + 1)
            part = {"index": index, "sigma": index ** -(0.3 + 0.1 * place)}
            if layer == 1:
                curves.append(
                    pd.DataFrame({**key, "object": kind, "null": null} | part)
                )
    pd.DataFrame(rows).to_parquet(folder / "tails_matrices.parquet", index=False)
    pd.concat(curves).to_parquet(folder / "tails_curves.parquet", index=False)


def claims_rows() -> pd.DataFrame:
    """One claim of every verdict."""
    words = ["supported", "contradicted", "null-compatible", "undetermined"]
    effects = [2.0, -2.0, 0.01, 0.1]
    return pd.DataFrame(
        {
            "claim": [f"claim_{word}" for word in words],
            "source": "arXiv 0000.00000",
            "statement": [f"A statement that is {word}" for word in words],
            "estimator": "an estimator",
            "null": "a null",
            "subject": ["", "prs", "", ""],
            "value": effects,
            "null_value": 0.0,
            "effect": effects,
            "low": [e - 0.05 for e in effects],
            "high": [e + 0.05 for e in effects],
            "n": 1200,
            "unit": "share of items",
            "margin": 0.1,
            "power": 0.42,
            "verdict": words,
            "rule": "a rule",
        }
    )


def write_tables(
    folder: Path,
    runs: Sequence[str] = ("full-seed0", "full-seed1"),
    steps: Sequence[int] = (2, 4),
    full: Mapping[str, float] = FULL_SCORES,
    arms: Mapping[str, str | None] | None = None,
) -> Path:
    """The whole study through every `analyze`; returns the folder of tables."""
    import analyze_knowledge
    import analyze_samples
    from analyze import main

    arms = arms or {"full": None}
    changed = {
        f"{arm}-seed{seed}": recipe
        for arm, recipe in arms.items()
        for seed in range(2 if recipe else 0)
    }
    matrices, spectra = write_decompositions(folder, runs, steps)
    evaluations = write_evaluations(folder, runs, steps, full, changed)
    probes, updates = write_probes(folder, arms, steps)
    names = ("training", "scores", "differences", "recovery", "matrices")
    names += ("probes", "overfitting", "substitutions")
    outputs = {name: folder / "tables" / f"{name}.tsv" for name in names}
    outputs["spectra"] = folder / "tables" / "spectra.parquet"
    main(
        metrics=write_metrics(folder, runs, steps[-1]),
        matrices=matrices,
        spectra=spectra,
        evaluations=evaluations,
        probes=probes,
        updates=updates,
        outputs=outputs,
        arms=arms,
        seed=0,
        draws=1000,
    )
    answers, kl = write_answers(folder, runs, steps[-1], changed)
    names = ("pass_at_k", "pass_null", "efficiency", "solvable", "perplexity", "kl")
    outputs = {name: folder / "tables" / f"{name}.tsv" for name in names}
    analyze_samples.main(answers, kl, outputs, list(arms), seed=0, draws=1000)
    names = ("retention", "forgetting", "forgetting_curve")
    analyze_knowledge.main(
        [p for p in evaluations if p.stem in ("step-0", f"step-{steps[-1]}")],
        folder / "tables" / "kl.tsv",
        {name: folder / "tables" / f"{name}.tsv" for name in names},
        *(arms, 0.05),
        seed=0,
        draws=1000,
    )
    write_alignment(folder / "tables", runs)
    write_spectra(folder / "tables", runs)
    claims_rows().to_csv(folder / "tables" / "claims.tsv", sep="\t", index=False)
    return folder / "tables"
