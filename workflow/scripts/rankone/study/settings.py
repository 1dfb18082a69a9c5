"""What decides a result, as the plain values that jobs get: a change makes it again.

`plain` are the plain values of `config` (rankone.settings.plain): Snakemake compares
their text, so numbers and the order of keys stay as they were given.
"""

from rankone.analysis.settings import Analyze
from rankone.study.config import Config
from rankone.study.estimates import completion_length
from rankone.study.runs import Run
from rankone.study.validation import completion_limits
from rankone.training.method import method_settings


def training_settings(config: Config, plain: dict, run: Run) -> dict:
    """Everything that decides the outcome of a run."""
    return method_settings(config, run.arm) | {
        "lora": plain["lora"],
        "schedule": plain["schedule"],
        "probes": plain["probes"],
        "launch": plain["launch"],
        "seed": run.seed,
        "intervention": plain["arms"][run.arm].get("intervention"),
        "trust_remote_code": config.model.trust_remote_code,
    }


def evaluation_settings(config: Config, plain: dict) -> dict:
    """Everything but the variants that decides the scores of a model."""
    return {
        "benchmarks": {
            name: benchmark | {"generation": generation_limits(config, name)}
            for name, benchmark in plain["benchmarks"].items()
        },
        "evaluate": plain["evaluate"],
        "others": config.others,
        "seed": config.evaluate.seed,
        "trust_remote_code": config.model.trust_remote_code,
    }


def generation_limits(config: Config, name: str) -> dict:
    """What ends an answer; to the study's own problems, what ends it in training."""
    own = completion_limits(config) if name.startswith("problems_") else {}
    return own | config.benchmarks[name].generation


def sample_settings(config: Config, plain: dict) -> dict:
    """Everything but the variants that decides the sampled answers of a model."""
    sample = {key: v for key, v in plain["sample"].items() if key != "variants"}
    return sample | {
        "tokens": config.sample.tokens or completion_length(config),
        "dtype": config.evaluate.dtype,
        "others": config.others,
        "seed": config.evaluate.seed,
        "trust_remote_code": config.model.trust_remote_code,
    }


def artefact_settings(config: Config, plain: dict) -> dict:
    """Everything but the variant that decides an adapter or a merged model."""
    return {
        "dtype": config.artefacts.dtype,
        "model": plain["model"],
        "others": config.others,
        "seed": config.evaluate.seed,
    }


def spectra_settings(analyze: Analyze) -> dict:
    """Draws of the nulls of a spectrum and of its fits."""
    return {"tail_draws": analyze.tail_draws, "fit_draws": analyze.fit_draws}


def bootstrap_settings(analyze: Analyze) -> dict:
    """Seed and draws of every interval."""
    return {"seed": analyze.seed, "draws": analyze.draws}
