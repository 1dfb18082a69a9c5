"""Which run a state is of, and whose code: edited copies of the package."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from safetensors import safe_open
from safetensors.torch import load_file

import ranks
import record
import train
from conftest import ROOT
from rankone.errors import UserError
from rankone.files import write_jsonl
from rankone.training import fit, grpo_trainer, run_identity, run_state
from rankone.training.run_identity import MIXED, OTHER
from tiny import save_model

SCRIPTS = ROOT / "workflow" / "scripts"
IDENTITY = {"settings": {}, "base": "b", "problems": {}}
MADE = {"code": {"a": "1", "b": "1", "c": "1"}, "versions": {"torch": "2", "trl": "1"}}
EDITED = MADE | {"code": {"a": "2", "b": "2", "d": "1"}}


def claimed(state: Path, made: dict, step: int | None = None, answer="stop") -> dict:
    """The manifest of a run that goes on with this code, and then saves a step."""
    manifest = run_state.claim_state(state, IDENTITY, [], made)
    manifest = run_state.claim_code(state, "r", manifest, made, answer)
    if step:
        folder = state / f"checkpoint-{step}"
        folder.mkdir()
        (folder / "trainer_state.json").write_text("{}")
    return manifest


def steps(manifest: dict) -> list[int]:
    return [segment["from_step"] for segment in manifest["segments"]]


def test_the_name_of_a_run_is_no_part_of_it_and_every_problem_file_is(tmp_path):
    paths = {split: tmp_path / f"{split}.jsonl" for split in ("train", "held_out")}
    for path in paths.values():
        write_jsonl(path, ranks.PROBLEMS)
    before = run_identity.run_identity({"seed": 0}, "b", paths)
    assert before == run_identity.run_identity({"seed": 0}, "b", paths)
    write_jsonl(paths["held_out"], ranks.PROBLEMS[1:])
    assert before != run_identity.run_identity({"seed": 0}, "b", paths)
    assert run_identity.used_verifiers(paths) == ["integer"]


def test_nothing_is_asked_before_a_step_was_saved(tmp_path):
    claimed(tmp_path, MADE)
    assert claimed(tmp_path, EDITED)["segments"] == [{"from_step": 0} | EDITED]


def test_a_half_made_run_stops_with_what_changed_and_both_ways_on(tmp_path):
    claimed(tmp_path, MADE, step=3)
    assert steps(claimed(tmp_path, MADE)) == [0]
    ways = "`--config code_changes=continue`, .* `--config code_changes=restart`"
    with pytest.raises(
        UserError, match=rf"r: its first 3 steps .*\(a, b and 2 more changed.*{ways}"
    ):
        claimed(tmp_path, EDITED)


def test_a_changed_library_is_named_with_both_versions(tmp_path):
    claimed(tmp_path, MADE, step=3)
    other = MADE | {"versions": {"torch": "3"}}
    with pytest.raises(UserError, match=r"\(torch 2 \(now 3\) changed since\)"):
        claimed(tmp_path, other)


def test_a_run_that_goes_on_with_other_code_is_mixed_from_that_step(tmp_path):
    claimed(tmp_path, MADE, step=3)
    assert steps(claimed(tmp_path, EDITED, answer="continue")) == [0, 3]
    # Killed before the next save: nothing of the other code is left.
    assert steps(claimed(tmp_path, MADE)) == [0]
    manifest = claimed(tmp_path, EDITED, step=5, answer="continue")
    assert steps(manifest) == steps(claimed(tmp_path, EDITED)) == [0, 3]
    assert run_identity.code_status(manifest, EDITED) == MIXED
    assert len(set(run_identity.code_digests(manifest))) == 2


def test_a_run_that_starts_again_leaves_its_state_aside(tmp_path):
    state = tmp_path / "r"
    claimed(state, MADE, step=3)
    manifest = claimed(state, EDITED, answer="restart")
    assert manifest["segments"] == [{"from_step": 0} | EDITED]
    assert run_state.last_checkpoint(state) is None
    (aside,) = tmp_path.glob("r.replaced-*")
    assert run_state.last_checkpoint(aside).name == "checkpoint-3"


def test_the_status_needs_no_package_that_is_not_installed_here():
    manifest = run_identity.new_manifest(IDENTITY, [], MADE)
    assert run_identity.code_status(manifest, MADE | {"versions": {}}) == ""
    assert run_identity.code_status(manifest, EDITED | {"versions": {}}) == OTHER


def asked(folder: Path) -> dict:
    """What the script of the rule `train` takes, for four steps with an intervention.

    State and results are in `folder`, model and problems in the one above.
    """
    problems = {
        split: str(folder.parent / f"{split}.jsonl") for split in ("train", "held_out")
    }
    grpo = {"per_device_train_batch_size": 16, "num_generations": 8, "bf16": False}
    grpo |= {"learning_rate": 1e-2, "max_completion_length": 4, "beta": 0.0}
    settings = ranks.plain_settings(intervention=ranks.PRS, grpo=grpo)
    names = ("metrics.tsv", "probes.parquet", "updates.parquet")
    results = folder / "results"
    return {
        "run": "prs-seed0",
        "model_folder": str(folder.parent / "model"),
        "problems": problems,
        "settings": settings,
        "state": str(folder / "state"),
        "tables": {n.partition(".")[0]: str(results / n) for n in names},
        "directions": str(results / "directions.safetensors"),
        "checkpoints": {step: str(results / f"step-{step}") for step in (2, 4)},
        "threads": 1,
        "log": "log",
        "code_changes": "stop",
    }


# The answers are given: a tiny model's own would leave nothing to learn.
RUN = """
import json, sys
import train
from rankone.errors import UserError
from rankone.training import grpo_trainer
import ranks
from pathlib import Path
import record

grpo_trainer.Trainer = ranks.GivenAnswers
for arguments in json.loads(sys.stdin.read()):
    checkpoints = {int(s): p for s, p in arguments.pop("checkpoints").items()}
    try:
        train.main(**arguments, checkpoints=checkpoints)
        (run,) = record.runs([arguments["tables"]["metrics"]]).values()
        print("status:", run["status"])
    except UserError as error:
        print(error)
"""


def run_copy(copy: Path, *arguments: dict) -> list[str]:
    """What the script says in a copy of the package, a line for each call."""
    paths = [str(copy), str(ROOT / "tests")]
    run = subprocess.run(
        [sys.executable, "-c", RUN],
        input=json.dumps(arguments),
        env=os.environ | {"PYTHONPATH": os.pathsep.join(paths)},
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stderr
    return run.stdout.splitlines()


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """A folder with a run stopped after two steps, `half`, and the same one, `done`."""
    folder = tmp_path_factory.mktemp("study")
    save_model(folder / "model")
    for split in ("train", "held_out"):
        write_jsonl(folder / f"{split}.jsonl", ranks.PROBLEMS)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(grpo_trainer, "Trainer", ranks.GivenAnswers)
        with patch.context() as stopped:
            stopped.setattr(fit, "Stop", lambda: ranks.StopAt(2))
            with pytest.raises(UserError, match="stopped by a signal at step 2 of 4"):
                train.main(**asked(folder / "half"))
        shutil.copytree(folder / "half", folder / "done")
        train.main(**asked(folder / "done"))
    return folder


@pytest.fixture
def copy(tmp_path):
    """A copy of the package and its scripts, to be edited."""
    ignored = shutil.ignore_patterns("__pycache__")
    return shutil.copytree(SCRIPTS, tmp_path / "scripts", ignore=ignored)


def edit(copy: Path, file: str, before: str, after: str) -> None:
    path = copy / "rankone" / file
    text = path.read_text()
    assert before in text
    path.write_text(text.replace(before, after, 1))


def of(study: Path, name: str, source: str = "half", answer: str = "stop") -> dict:
    """Arguments for a copy of a state."""
    shutil.copytree(study / source, study / name)
    return asked(study / name) | {"code_changes": answer}


def manifest(arguments: dict) -> dict:
    return run_identity.read_manifest(Path(arguments["tables"]["metrics"]).parent)


def results(arguments: dict) -> tuple[str, dict[str, list]]:
    """What a run gives, but for times and metadata."""
    table = pd.read_table(arguments["tables"]["metrics"])
    weights = load_file(arguments["checkpoints"][4]).items()
    plain = {name: weight.tolist() for name, weight in weights}
    return table.filter(regex="^(?!.*seconds)").to_csv(), plain


def test_comments_docstrings_and_unused_methods_let_a_run_go_on(study, copy):
    edit(copy, "linalg/svd.py", "def leading(", "# A comment.\ndef leading(")
    edit(copy, "training/fit.py", '"""Train', '"""Do train')
    method = (copy / "rankone/training/methods/grpo.py").read_text()
    renamed = method.replace('name="grpo"', 'name="unused"')
    (copy / "rankone/training/methods/unused.py").write_text(renamed)
    arguments = of(study, "commented")
    assert run_copy(copy, arguments) == ["status: "]
    assert results(arguments) == results(asked(study / "done"))
    assert steps(manifest(arguments)) == [0]


def test_a_changed_svd_stops_a_half_made_run_and_leaves_a_finished_one(study, copy):
    edit(copy, "linalg/svd.py", "krylov(tall, k, seed))", "krylov(tall, k, 1 + seed))")
    edit(copy, "training/grpo_trainer.py", "return [float(", "return [1 * float(")
    stopped, done = of(study, "stopped"), of(study, "published", "done")
    mixed = of(study, "mixed", answer="continue")
    again = of(study, "again", answer="restart")
    before = results(done)
    said = run_copy(copy, stopped, mixed, again, done)
    assert said[0].startswith(
        "prs-seed0: its first 2 steps were made by other code (rankone.linalg.svd."
        "leading, rankone.training.grpo_trainer.reward changed since); go on"
    )
    assert said[1:] == [f"status: {MIXED}", "status: ", f"status: {OTHER}"]
    assert not Path(stopped["tables"]["metrics"]).exists()
    assert [steps(manifest(run)) for run in (mixed, again)] == [[0, 2], [0]]
    assert len(list((study / "again").glob("state.replaced-*"))) == 1
    assert results(done) == before
    assert manifest(done) == manifest(asked(study / "done"))


def test_an_export_names_its_run_and_its_code(study):
    arguments = asked(study / "done")
    with safe_open(arguments["checkpoints"][4], "pt") as file:
        found = file.metadata()
    published = manifest(arguments)
    assert found["identity"] == published["digest"]
    assert [found["code"]] == run_identity.code_digests(published)


def test_the_provenance_lists_every_run_that_was_trained_here(study, tmp_path):
    metrics = asked(study / "done")["tables"]["metrics"]
    (run,) = record.runs([metrics, str(tmp_path / "metrics.tsv")]).values()
    assert run["status"] == "" and len(run["code"]) == 1
