"""Training in several processes, one a GPU, on one node or on several of a SLURM job.

The job's own process prepares and publishes; in between it starts accelerate's
launcher, whose processes run this module: `python -m rankone.training.launch FILE`.
"""

import ctypes
import json
import logging
import os
import signal
import subprocess
import sys
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import torch

from rankone.errors import UserError
from rankone.files import replacing
from rankone.runtime.device import set_up
from rankone.runtime.job import logged
from rankone.settings import read_section
from rankone.training import callbacks, fit
from rankone.training.settings import Launch, TrainingSettings

CONFIGS = Path(__file__).resolve().parents[4] / "config" / "accelerate"
SCRIPTS = Path(__file__).resolve().parents[2]
LAUNCHER = "accelerate.commands.launch"
FIRST_PORT, PORTS = 20_000, 20_000
# Each node asks SLURM for its number and for the first node's name.
ON_EACH_NODE = (
    f'exec "$0" -m {LAUNCHER} --machine_rank "$SLURM_NODEID" --main_process_ip '
    '"$(scontrol show hostnames "$SLURM_STEP_NODELIST" | head -n 1)" "$@"'
)
PR_SET_PDEATHSIG = 1  # <sys/prctl.h>


def options(launch: Launch, threads: int, port: int, file: Path) -> list[str]:
    """Options of `accelerate launch`, and the module that each process runs."""
    return [
        *("--config_file", str(CONFIGS / f"{launch.config}.yaml")),
        *("--num_processes", str(launch.processes)),
        *("--num_machines", str(launch.nodes)),
        *("--main_process_port", str(port)),
        *("--num_cpu_threads_per_process", str(threads)),
        *("-m", "rankone.training.launch", str(file)),
    ]


def command(
    launch: Launch, threads: int, file: Path, environment: Mapping[str, str]
) -> list[str]:
    """The command that starts all processes, `threads` threads in each.

    On several nodes `srun` starts one launcher on each, within the resources of the job
    that runs already.
    """
    nodes = launch.nodes
    if nodes == 1:  # port 0: any free one
        return [sys.executable, "-m", LAUNCHER, *options(launch, threads, 0, file)]
    if "SLURM_JOB_ID" not in environment:
        raise UserError(
            f"launch.nodes is {nodes}, but this is no SLURM job: several nodes need "
            "`--profile slurm` with as many `nodes` for the rule train."
        )
    port = FIRST_PORT + int(environment["SLURM_JOB_ID"]) % PORTS
    return [
        *("srun", "--overlap", "--cpu-bind=none", "--kill-on-bad-exit=1"),
        *(f"--nodes={nodes}", f"--ntasks={nodes}", "--ntasks-per-node=1"),
        f"--cpus-per-task={threads * launch.processes // nodes}",
        *("sh", "-c", ON_EACH_NODE, sys.executable),
        *options(launch, threads, port, file),
    ]


def check_devices(launch: Launch, found: int) -> None:
    """Raise UserError when a node has fewer than one accelerator a process.

    Without any the processes share the CPU.
    """
    wanted = launch.processes // launch.nodes
    if 0 < found < wanted:
        raise UserError(
            f"launch: {wanted} processes on a node need as many GPUs, but this job "
            f"sees {found}. Ask for more (`gpu` of the rule train in the profile), or "
            "lower launch.processes."
        )


def tie_to_parent() -> None:
    """Let the kernel end this process with its parent, so that no orphan trains on."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def orphaned() -> bool:
    """Whether the launcher ended before this process was tied to it."""
    parent = Path(f"/proc/{os.getppid()}/cmdline")
    return parent.exists() and LAUNCHER.encode() not in parent.read_bytes()


def before_launcher() -> None:
    """The launcher itself ignores SIGTERM: it would kill the processes half a minute
    later, in the middle of a step or of a save.
    """
    tie_to_parent()
    signal.signal(signal.SIGTERM, signal.SIG_IGN)


@contextmanager
def stopping(state: Path) -> Iterator[None]:
    """Within the block SIGTERM asks all processes to stop after a step."""
    stop = callbacks.stop_file(state)
    previous = signal.signal(signal.SIGTERM, lambda *_: stop.touch())
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, previous)


def error_file(state: Path) -> Path:
    """Where the first process that fails says why."""
    return state / "error.json"


def train(threads: int, log: str, arguments: dict[str, Any]) -> None:
    """fit.fit(**arguments) in several processes, with `threads` on each node.

    Raises UserError with the sentence of the process that failed first.
    """
    settings: TrainingSettings = arguments["settings"]
    launch, plain = settings.launch, {"settings": settings.model_dump()}
    check_devices(launch, torch.accelerator.device_count())
    state = Path(arguments["state"])
    for leftover in (callbacks.stop_file(state), error_file(state)):
        leftover.unlink(missing_ok=True)
    share = max(1, threads * launch.nodes // launch.processes)
    with replacing(state / "processes.json") as file:
        file.write_text(
            json.dumps({"threads": share, "log": log, "arguments": arguments | plain})
        )
    paths = [str(SCRIPTS), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join(paths),
        "PET_SIGNALS_TO_HANDLE": "SIGINT",  # not SIGTERM, see before_launcher()
    }
    with stopping(state):
        status = subprocess.run(
            command(launch, share, (state / "processes.json").resolve(), os.environ),
            env=environment,
            preexec_fn=before_launcher,
            check=False,
        ).returncode
    if status:
        raise failure(state, status)


def failure(state: Path, status: int) -> Exception:
    """What the first process that failed says, as an exception."""
    file = error_file(state)
    if not file.exists():
        return UserError(
            f"A training process ended without a word (status {status}): often there "
            "was not enough memory, or the job was cancelled. The same command goes on "
            "from the last saved state."
        )
    found = json.loads(file.read_text())
    return (UserError if found["expected"] else RuntimeError)(found["text"])


def process(threads: int, log: str, arguments: dict[str, Any]) -> None:
    """One process of the training; the first that fails leaves a note and no other.

    `arguments` are fit.fit()'s, with plain settings.
    """
    try:
        set_up(threads, keep_memory=True)
        settings = read_section(TrainingSettings, arguments["settings"])
        fit.fit(**arguments | {"settings": settings})
    except Exception as error:
        expected = isinstance(error, UserError)
        text = str(error) if expected else traceback.format_exc()
        note = error_file(Path(arguments["state"]))
        with suppress(FileExistsError), note.open("x") as file:
            json.dump({"expected": expected, "text": text}, file)
        sys.exit(1)


def main(file: str) -> None:
    """Run this process's part; the first one logs where the job does."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # the launcher's is inherited
    tie_to_parent()
    if orphaned():
        sys.exit(1)
    given = json.loads(Path(file).read_text())
    level = logging.INFO if os.environ["RANK"] == "0" else logging.ERROR
    with logged(given["log"], level=level, mode="a"):
        process(**given)


if __name__ == "__main__":
    main(sys.argv[1])
