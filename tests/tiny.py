"""A tiny randomly initialised model with its own tokenizer, and a study for it."""

import json
from pathlib import Path

import torch
import yaml
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

CHARACTERS = "0123456789+-*= \nabcdefghijklmnopqrstuvwxyz"
SPECIAL = ["<pad>", "<eos>", "<unk>"]


def make_tokenizer(more: str = "") -> PreTrainedTokenizerFast:
    """One token a character, of the usual ones and `more`."""
    vocabulary = {text: i for i, text in enumerate([*SPECIAL, *CHARACTERS, *more])}
    core = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    core.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    core.decoder = decoders.Fuse()
    return PreTrainedTokenizerFast(
        tokenizer_object=core,
        pad_token="<pad>",
        eos_token="<eos>",
        unk_token="<unk>",
        clean_up_tokenization_spaces=False,
    )


def make_model(seed: int = 0, more: str = "") -> LlamaForCausalLM:
    """A Llama of two layers with tied embeddings, about 25,000 parameters."""
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=len(SPECIAL) + len(CHARACTERS) + len(more),
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=128,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=1,
        pad_token_id=0,
    )
    return LlamaForCausalLM(config).eval()


def save_model(folder: Path, seed: int = 0) -> Path:
    """Save model and tokenizer as a Hugging Face folder."""
    make_model(seed).save_pretrained(folder)
    make_tokenizer().save_pretrained(folder)
    return folder


def save_task(folder: Path) -> None:
    """A task of the user's own: multiple choice in letters that the model knows."""
    folder.mkdir()
    rows = [
        {"question": f"what is {word}", "choices": ["good", "bad", "tall"], "label": 0}
        for word in ("sun", "sea", "rain", "wind", "snow", "ice", "fog", "hail")
    ]
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    (folder / "weather.jsonl").write_text(lines)
    task = {
        "task": "weather",
        "dataset_path": "json",
        "dataset_kwargs": {"data_files": {"test": str(folder / "weather.jsonl")}},
        "test_split": "test",
        "output_type": "multiple_choice",
        "doc_to_text": "{{question}}",
        "doc_to_choice": "{{choices}}",
        "doc_to_target": "label",
        "metric_list": [{"metric": "acc"}],
    }
    (folder / "weather.yaml").write_text(yaml.safe_dump(task, sort_keys=False))


def study(folder: Path) -> dict:
    """A study of two runs of eight steps on the tiny model in `folder`."""
    one = {"operation": "addition", "digits": [1, 1]}
    exact = {"domain": "mathematics", "metric": "exact_match"}
    return {
        "study": "tiny",
        "model": {"path": str(folder / "model")},
        "problems": {
            "mixture": [one],
            "shifted_mixture": [{"operation": "multiplication", "digits": [1, 1]}],
            "sizes": {"train": 32, "train_probe": 8, "held_out": 40, "shifted": 16},
        },
        "grpo": {
            "learning_rate": 1e-3,
            "per_device_train_batch_size": 128,
            "num_generations": 32,
            "max_completion_length": 3,
            "beta": 0.0,
            "bf16": False,
            "gradient_checkpointing": False,
        },
        "schedule": {"max_steps": 8, "export_steps": [4, 8], "save_steps": 1},
        "arms": {
            "full": {"seeds": [0]},
            "prs": {"seeds": [0], "intervention": {"period": 3, "recipe": "rank1"}},
        },
        "probes": {"problems": 8, "samples": 2, "every": 3},
        "decompose": {"rank": 4},
        "variants": ["full", "rank1", "rank1_rescaled", "without_rank1", "shrunk"],
        "evaluate": {
            "dtype": "float32",
            "batch_size": 16,
            "task_folders": [str(folder / "tasks")],
        },
        "benchmarks": {
            "problems_held_out": exact,
            "problems_shifted": exact,
            "problems_train_probe": exact,
            "weather": {"domain": "knowledge", "metric": "acc"},
        },
        "sample": {
            "problems": 6,
            "samples": 8,
            "kl_samples": 2,
            "variants": ["full", "rank1", "without_rank1", "shrunk"],
        },
        "analyze": {"draws": 500, "null_draws": 20, "fit_draws": 2},
    }


def save_study(folder: Path, **changes) -> Path:
    """Write model, task and config into `folder`; return the config's path."""
    save_model(folder / "model")
    save_task(folder / "tasks")
    path = folder / "config.yaml"
    path.write_text(yaml.safe_dump(study(folder) | changes))
    return path
