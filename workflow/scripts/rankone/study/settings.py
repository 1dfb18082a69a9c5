"""What decides a result, as the plain values that jobs get: a change makes it again.

`config` is a whole config (rankone.study.config.load).
"""

from rankone.study.estimates import completion_length
from rankone.study.runs import Run
from rankone.study.validation import completion_limits
from rankone.training.method import method_settings


def training_settings(config: dict, run: Run) -> dict:
    """Everything that decides the outcome of a run."""
    return method_settings(config, run.arm) | {
        "lora": config["lora"],
        "schedule": config["schedule"],
        "probes": config["probes"],
        "launch": config["launch"],
        "seed": run.seed,
        "intervention": run.intervention,
        "trust_remote_code": config["model"]["trust_remote_code"],
    }


def evaluation_settings(config: dict) -> dict:
    """Everything but the variants that decides the scores of a model."""
    return {
        "benchmarks": {
            name: benchmark | {"generation": generation_limits(config, name, benchmark)}
            for name, benchmark in config["benchmarks"].items()
        },
        "evaluate": config["evaluate"],
        "others": config["others"],
        "seed": config["evaluate"]["seed"],
        "trust_remote_code": config["model"]["trust_remote_code"],
    }


def generation_limits(config: dict, name: str, benchmark: dict) -> dict:
    """What ends an answer; to the study's own problems, what ends it in training."""
    own = completion_limits(config) if name.startswith("problems_") else {}
    return own | benchmark["generation"]


def sample_settings(config: dict) -> dict:
    """Everything but the variants that decides the sampled answers of a model."""
    sample = {key: v for key, v in config["sample"].items() if key != "variants"}
    return sample | {
        "tokens": sample["tokens"] or completion_length(config),
        "dtype": config["evaluate"]["dtype"],
        "others": config["others"],
        "seed": config["evaluate"]["seed"],
        "trust_remote_code": config["model"]["trust_remote_code"],
    }


def artefact_settings(config: dict) -> dict:
    """Everything but the variant that decides an adapter or a merged model."""
    return {
        "dtype": config["artefacts"]["dtype"],
        "model": config["model"],
        "others": config["others"],
        "seed": config["evaluate"]["seed"],
    }


def spectra_settings(config: dict) -> dict:
    """Draws of the nulls of a spectrum and of its fits."""
    return {name: config["analyze"][name] for name in ("tail_draws", "fit_draws")}


def bootstrap_settings(config: dict) -> dict:
    """Seed and draws of every interval."""
    return {name: config["analyze"][name] for name in ("seed", "draws")}
