"""Methods: declared in one file, or a plugin; no other file knows of GRPO."""

import ast
import json
import math
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

import ranks
from conftest import ROOT
from rankone.errors import UserError
from rankone.files import write_jsonl
from rankone.registry import PLUGINS
from rankone.study.validation import class_fields
from rankone.training import launch, run_identity, run_state
from rankone.training.method import METHODS, method_settings, study_methods
from rankone.weights.model_files import weight_files
from shipped import config
from tiny import save_model

SCRIPTS = ROOT / "workflow" / "scripts"
TOY = '''
"""Plain steps towards the answers."""
from rankone.training.method import METHODS, Generation, TrainingMethod


def arguments(settings, schedule, seed, state):
    from transformers import TrainingArguments

    plain = {"logging_steps": 1, "report_to": "none", "use_cpu": True, "seed": seed}
    plain |= {"max_steps": schedule.max_steps, "save_steps": schedule.save_steps}
    return TrainingArguments(output_dir=str(state), **plain, **settings)


def trainer(model, args, problems, tokenizer, lora):
    from transformers import DataCollatorForLanguageModeling, Trainer

    texts = [f"{p['prompt']} {p['answer']}" for p in problems]
    rows = [{"input_ids": tokenizer(text)["input_ids"]} for text in texts]
    collator = DataCollatorForLanguageModeling(tokenizer, mlm=False)
    return Trainer(model, args, collator, rows, processing_class=tokenizer)


METHODS.add(
    TrainingMethod(
        name="toy",
        description="Plain steps towards the answers.",
        owner="transformers.TrainingArguments",
        arguments=arguments,
        trainer=trainer,
        generation=lambda args: Generation(tokens=3),
        check=lambda settings, processes: None,
        completion_length=lambda settings: 3,
        step_seconds=lambda settings, prompt, computer: computer.forward(3 * prompt),
        activations_mb=lambda settings, prompt, weights: 1.0,
        columns={},
        sources={},
        own_arguments=frozenset(),
    )
)
'''


@pytest.fixture
def toy(tmp_path, monkeypatch):
    """The toy as a plugin, forgotten after the test."""
    path = tmp_path / "toy.py"
    path.write_text(TOY)
    assert "grpo" in METHODS
    for name in ("entries", "modules"):
        monkeypatch.setattr(METHODS, name, dict(getattr(METHODS, name)))
    monkeypatch.setenv(PLUGINS, str(path))
    return str(path)


def test_a_plugins_method_trains_in_the_processes_that_a_job_launches(toy, tmp_path):
    base = save_model(tmp_path / "base")
    problems = {
        split: str(tmp_path / f"{split}.jsonl") for split in ("train", "held_out")
    }
    for path in problems.values():
        write_jsonl(path, ranks.PROBLEMS)
    schedule = {"max_steps": 2, "save_steps": 1, "export_steps": [2]}
    settings = ranks.settings(
        schedule=schedule, method="toy", grpo={"learning_rate": 1e-2}
    )
    state = tmp_path / "state"
    state.mkdir()
    launch.train(
        *(1, str(tmp_path / "log")),
        {
            "run": "toy-seed0",
            "model_folder": str(base),
            "problems": problems,
            "settings": settings,
            "state": str(state),
            "metadata": {},
        },
    )
    rows = run_state.read_metrics(state / "metrics.jsonl")
    assert [row["step"] for row in rows] == [1, 2]
    assert rows[1]["loss"] < rows[0]["loss"] and math.isnan(rows[0]["reward"])
    (before,) = weight_files(base)
    after = load_file(run_state.export_path(state / "exports", 2))
    assert not all(torch.equal(after[n], w) for n, w in load_file(before).items())


def test_a_run_has_its_methods_settings_and_the_default_is_not_named(toy):
    arms = {"full": {}, "plain": {"method": "toy"}}
    study = config(plugins=[toy], grpo={"beta": 0.0}, arms=arms)
    assert method_settings(study, "full") == {"grpo": {"beta": 0.0}}
    found = method_settings(study, "plain")
    assert found == {"grpo": {"beta": 0.0}, "method": "toy"}
    assert [m.name for m, _ in study_methods(study)] == ["grpo", "toy"]


def test_a_method_may_have_a_section_that_the_config_does_not_declare(toy):
    METHODS.entries["toy"] = replace(METHODS["toy"], section="copy")
    given = {"plugins": [toy], "arms": {"full": {"method": "toy"}}}
    found = method_settings(config(**given), "full")
    assert found == {"copy": {}, "method": "toy"}
    ((_, found),) = study_methods(config(**given, copy={"rate": 1}))
    assert found == {"rate": 1}


def test_the_code_of_a_run_is_that_of_its_method_alone(toy):
    plain = run_identity.made_with(ranks.settings(method="toy"), [])["code"]
    grpo = run_identity.made_with(ranks.settings(), [])["code"]
    assert "rankone_plugin_toy.trainer" in plain.keys() - grpo.keys()
    assert "rankone.training.grpo_trainer.Trainer" in grpo.keys() - plain.keys()
    assert "rankone.training.fit.train" in grpo.keys() & plain.keys()


def test_an_unknown_method_is_refused():
    with pytest.raises(UserError, match="training method 'sft' is unknown; .* grpo"):
        METHODS["sft"]


def words(file: Path) -> set[str]:
    """Names, keywords, attributes and texts of a Python file."""
    nodes = list(ast.walk(ast.parse(file.read_text())))
    kinds = ((ast.Name, "id"), (ast.Attribute, "attr"), (ast.keyword, "arg"))
    found = {getattr(n, name) for kind, name in kinds for n in nodes if type(n) is kind}
    return found | {n.value for n in nodes if isinstance(n, ast.Constant)}


# Words of sampling, of other libraries and of statistics that are fields of TRL, too.
COMMON = {"temperature", "top_p", "top_k", "min_p", "repetition_penalty"}
COMMON |= {"trust_remote_code", "generation_kwargs", "beta", "delta"}
OWN_FILES = {"training/methods/grpo.py", "training/grpo_trainer.py"}
# Those that name the config section `grpo:`.
SECTION_FILES = {"training/method.py", "study/validation.py", "study/config.py"}


def test_no_other_file_knows_of_grpo():
    sources = METHODS["grpo"].sources
    fields, plain = (class_fields({k: sources[k]}) for k in ("trl", "transformers"))
    named = {"GRPOConfig", "GRPOTrainer"} | (fields - plain - COMMON)
    assert "num_generations" in named
    for file in SCRIPTS.rglob("*.py"):
        name = str(file.relative_to(SCRIPTS)).removeprefix("rankone/")
        if name not in OWN_FILES:
            section = set() if name in SECTION_FILES else {"grpo"}
            assert not words(file) & (named | section), name


def test_declarations_import_nothing_heavy():
    manifest = {"identity": {"settings": ranks.plain_settings()}, "verifiers": []}
    script = "import sys, json; from rankone.training import run_identity as r; "
    script += f"r.current({manifest}); print(json.dumps(sorted(sys.modules)))"
    run = subprocess.run(
        [sys.executable, "-c", script],
        env={"PYTHONPATH": str(SCRIPTS)},
        capture_output=True,
        text=True,
        check=True,
    )
    heavy = {"torch", "trl", "transformers", "peft", "datasets", "safetensors", "numpy"}
    assert not heavy & set(json.loads(run.stdout))
