"""Training in two processes: the same result as in one, stops, resumption, export."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pandas as pd
import pytest
import torch
from accelerate.commands.config.config_args import load_config_from_file
from accelerate.commands.launch import _validate_launch_command, launch_command_parser
from safetensors.torch import load_file

import ranks
from conftest import ROOT
from rankone.errors import UserError
from rankone.files import write_jsonl
from rankone.training import grpo_trainer, launch, measurement, run_state
from rankone.training.settings import Launch
from rankone.weights.checkpoints import weights_hash
from rankone.weights.model_files import weight_files
from tiny import save_model

LAUNCH = Launch(processes=2)
CONFIGS = {"ddp": "MULTI_GPU", "fsdp2": "FSDP", "deepspeed_zero3": "DEEPSPEED"}
LOG = "log"
# Starts processes that train: not of the tier of its folder.
in_processes = pytest.mark.workflow


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return save_model(tmp_path_factory.mktemp("base"))


@pytest.fixture(scope="module")
def alone(base, tmp_path_factory):
    """Folders of every scenario, carried out by one process."""
    folder = tmp_path_factory.mktemp("alone")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(grpo_trainer, "Trainer", ranks.GivenAnswers)
        for name, changes in ranks.SCENARIOS.items():
            ranks.run(folder / name, weight_files(base), **changes)
    return folder


def together(config: str, folder: Path, base: Path, names: list[str]) -> str:
    """The output of two processes that carry out the scenarios."""
    paths = os.pathsep.join([str(ROOT / "tests"), str(launch.SCRIPTS)])
    options = launch.options(Launch(processes=2, config=config), 1, 0, Path("none"))
    arguments = [str(folder), str(weight_files(base)[0]), *names]
    script = [str(ROOT / "tests" / "ranks.py"), *arguments]
    run = subprocess.run(
        [sys.executable, "-m", launch.LAUNCHER, *options[:-3], *script],
        env=os.environ | {"PYTHONPATH": paths},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    return run.stdout


SHARED = {"ddp": ["plain", "lora", "rank1", "random"], "fsdp2": ["plain", "lora"]}


@pytest.fixture(scope="module", params=SHARED)
def shared(request, base, tmp_path_factory):
    """Folder, scenarios and output of two processes."""
    folder, names = tmp_path_factory.mktemp(request.param), SHARED[request.param]
    return folder, names, together(request.param, folder, base, names)


def exported(folder: Path, step: int = ranks.STEPS) -> dict[str, torch.Tensor]:
    return load_file(run_state.export_path(folder / "exports", step))


def same(found: torch.Tensor, start: torch.Tensor | None) -> bool:
    """Whether a tensor is what it was at first (LoRA factors were not there)."""
    return start is not None and torch.equal(found, start)


@in_processes
def test_two_processes_end_with_the_weights_of_one(shared, alone, base):
    folder, names, _ = shared
    start = load_file(weight_files(base)[0])
    for name in names:
        for step in (2, ranks.STEPS):
            one, two = exported(alone / name, step), exported(folder / name, step)
            assert one.keys() == two.keys()
            for key in one:
                assert two[key].dtype == torch.float32
                # Updates are 0.02: Adam magnifies the rounding of small gradients.
                torch.testing.assert_close(two[key], one[key], rtol=1e-5, atol=2e-5)
        assert [key for key in one if not same(one[key], start.get(key))]


@in_processes
def test_two_processes_measure_what_one_measures(shared, alone):
    folder, names, _ = shared
    for name in names:
        moments = measurement.measure_points(ranks.settings(**ranks.SCENARIOS[name]))
        places = [place / name / "measured" for place in (alone, folder)]
        one, two = (measurement.gather_updates(place, "r", moments) for place in places)
        columns = ["step", "moment", "tensor", "frobenius_norm", "sigma_1"]
        pd.testing.assert_frame_equal(one[columns], two[columns], rtol=1e-3)
        one, two = (measurement.gather_probes(place, "r", moments) for place in places)
        assert len(one) == len(two) and one["problem"].equals(two["problem"])


@in_processes
def test_metrics_are_of_the_whole_batch_and_written_once(shared, alone):
    folder, names, _ = shared
    for name in names:
        one, two = (
            pd.DataFrame(run_state.read_metrics(place / name / "metrics.jsonl"))
            for place in (alone, folder)
        )
        columns = ["step", "reward", "reward_std", "loss", "entropy", "tokens"]
        pd.testing.assert_frame_equal(one[columns], two[columns], rtol=1e-4)


@in_processes
def test_all_stop_after_the_step_at_which_one_is_asked_to(shared):
    _, _, output = shared
    assert output.count("stopped by a signal at step 3 of 4") == LAUNCH.processes


@in_processes
def test_a_run_that_was_stopped_ends_with_the_same_bits(shared):
    folder, _, _ = shared
    whole, resumed = exported(folder / "plain"), exported(folder / "resumed")
    assert all(torch.equal(whole[key], resumed[key]) for key in whole)


def arguments(folder: Path, base: Path) -> dict:
    """What training.fit() takes, for a run of 300 short steps."""
    problems = {
        split: str(folder / f"{split}.jsonl") for split in ("train", "held_out")
    }
    for path in problems.values():
        write_jsonl(path, ranks.PROBLEMS)
    schedule = {"max_steps": 300, "save_steps": 300, "export_steps": [300]}
    grpo = {"per_device_train_batch_size": 8, "num_generations": 8, "bf16": False}
    grpo |= {"learning_rate": 1e-3, "max_completion_length": 2, "beta": 0.0}
    processes = {"processes": LAUNCH.processes}
    settings = ranks.settings(schedule=schedule, grpo=grpo, launch=processes)
    return {
        "run": "full-seed0",
        "model_folder": str(base),
        "problems": problems,
        "settings": settings,
        "state": str(folder / "state"),
        "metadata": {"base": weights_hash(base)},
    }


def signal_after_steps(metrics: Path, steps: int) -> None:
    """Send SIGTERM to this process once so many steps are done."""
    while len(run_state.read_metrics(metrics)) < steps:
        time.sleep(0.05)
    os.kill(os.getpid(), signal.SIGTERM)


@in_processes
def test_sigterm_stops_all_processes_with_one_sentence_and_a_saved_state(
    base, tmp_path
):
    asked, log = arguments(tmp_path, base), tmp_path / LOG
    state = Path(asked["state"])
    state.mkdir()
    metrics = state / "metrics.jsonl"
    watch = threading.Thread(target=signal_after_steps, args=(metrics, 3), daemon=True)
    watch.start()
    with pytest.raises(UserError, match=r"full-seed0: stopped by a signal at step"):
        launch.train(2, str(log), asked)
    done = len(run_state.read_metrics(metrics))
    assert 3 <= done < 300
    assert run_state.last_checkpoint(state).name == f"checkpoint-{done}"
    assert [f"step {n} of 300" in log.read_text() for n in (1, done, done + 1)] == [
        *(True, True, False)
    ]


def test_the_first_process_that_fails_is_heard(tmp_path):
    told = launch.error_file(tmp_path)
    told.write_text(json.dumps({"expected": True, "text": "no such thing"}))
    found = launch.failure(tmp_path, 1)
    assert isinstance(found, UserError) and str(found) == "no such thing"
    told.write_text(json.dumps({"expected": False, "text": "Traceback: ..."}))
    assert isinstance(launch.failure(tmp_path, 1), RuntimeError)
    told.unlink()
    assert "without a word (status -9)" in str(launch.failure(tmp_path, -9))


def test_a_node_with_too_few_gpus_is_refused():
    four = Launch(processes=4, nodes=2)
    launch.check_devices(four, 2)
    launch.check_devices(four, 0)
    with pytest.raises(UserError, match="2 processes on a node .* this job sees 1"):
        launch.check_devices(four, 1)


@pytest.mark.parametrize(("config", "kind"), CONFIGS.items())
def test_accelerate_accepts_the_shipped_configs(config, kind):
    file = launch.CONFIGS / f"{config}.yaml"
    assert load_config_from_file(str(file)).distributed_type.value == kind
    parser = launch_command_parser()
    given = launch.options(Launch(processes=2, config=config), 1, 0, Path("x.json"))
    parsed, _, _ = _validate_launch_command(parser.parse_args(given))
    assert (parsed.num_processes, parsed.num_machines) == (2, 1)
    assert (parsed.use_fsdp, parsed.use_deepspeed) == (
        *(kind == "FSDP", kind == "DEEPSPEED"),
    )
    assert parsed.module and parsed.training_script == "rankone.training.launch"
    if kind == "FSDP":
        assert parsed.fsdp_version == 2
    if kind == "DEEPSPEED":
        assert parsed.zero_stage == 3
        assert parsed.deepspeed_multinode_launcher == "standard"


def test_several_nodes_are_started_by_srun_one_launcher_on_each():
    nodes = Launch(processes=8, nodes=2, config="fsdp2")
    found = launch.command(nodes, 4, Path("x.json"), {"SLURM_JOB_ID": "61234"})
    script = found[found.index("-c") + 1 :]
    assert found[:2] == ["srun", "--overlap"]
    assert {"--nodes=2", "--ntasks=2", "--cpus-per-task=16"} < set(found)
    parser = launch_command_parser()
    given = parser.parse_args(script[2:])
    assert (given.num_processes, given.num_machines) == (8, 2)
    assert given.main_process_port == 20000 + 61234 % 20000
    with pytest.raises(UserError, match=r"launch.nodes is 2, but this is no SLURM job"):
        launch.command(nodes, 4, Path("x.json"), {})


def test_each_node_gives_its_rank_and_the_first_nodes_name(tmp_path):
    """The line that srun runs, in a shell, with stand-ins for SLURM and Python."""
    tool = tmp_path / "scontrol"
    tool.write_text("#!/bin/sh\nprintf 'node3\\nnode4\\n'\n")
    tool.chmod(0o755)
    path = f"{tmp_path}{os.pathsep}{os.environ['PATH']}"
    slurm = {"SLURM_NODEID": "1", "SLURM_STEP_NODELIST": "node[3-4]", "PATH": path}
    run = subprocess.run(
        ["sh", "-c", launch.ON_EACH_NODE, "echo", "--num_machines", "2"],
        env=slurm,
        capture_output=True,
        text=True,
    )
    assert run.stdout.split() == [
        *("-m", launch.LAUNCHER, "--machine_rank", "1", "--main_process_ip", "node3"),
        *("--num_machines", "2"),
    ]
