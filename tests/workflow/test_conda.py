"""One rule under `--sdm conda`, on an environment file of the project as it is."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from packaging.utils import canonicalize_name

import tiny
from conftest import ROOT

PARTS = ROOT / "tests" / "conda"


def stand_in(folder: Path) -> Path:
    """A folder with a `conda` of tests/conda, its own Python and its own channel."""
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    python = folder / "bin" / "python"
    packages = ["py-rattler", "pyyaml"]
    subprocess.run([python, "-m", "pip", "install", "-q", *packages], check=True)
    subprocess.run([python, PARTS / "channel.py", folder / "channel"], check=True)
    program = folder / "bin" / "conda"
    program.write_text(f"#!{python}\n{(PARTS / 'conda.py').read_text()}")
    program.chmod(0o755)
    shutil.copy(PARTS / "activate", folder / "bin" / "activate")
    return folder / "bin"


def canonical(lines: list[str]) -> dict[str, str]:
    """Versions by name, `PyYAML` and `pyyaml` alike, of `name==version` lines."""
    pins = (line.split("==") for line in lines if "==" in line)
    return {canonicalize_name(name): version for name, version in pins}


@pytest.mark.long
def test_a_rule_runs_in_its_conda_environment_a_stand_in_where_conda_is_not(tmp_path):
    """envs/prepare.yaml is made and used, its pins are what the job has.

    Needs a network: it installs packages.

    With a real `conda` (24.7.1 or later) on PATH it is conda that makes it. Else the
    stand-in does, with rattler's solver and a local channel of this Python and its pip:
    that proves neither conda's own command line nor that conda-forge has Python and
    pip in these versions.
    """
    path = os.environ["PATH"]
    if not shutil.which("conda"):
        path = f"{stand_in(tmp_path / 'conda')}:{path}"
    target, study = "results/prepare/problems/held_out.jsonl", tmp_path / "study"
    study.mkdir()
    config = tiny.save_study(study)
    run = subprocess.run(
        [sys.executable, "-m", "snakemake", "--sdm", "conda", "--cores", "1"]
        + ["--directory", study, "--configfile", config, "--replace-workflow-config"]
        + ["--", target],
        env=os.environ | {"PATH": path, "PIP_DISABLE_PIP_VERSION_CHECK": "1"},
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    output = run.stdout + run.stderr
    assert run.returncode == 0, output[-5000:]
    assert "Activating conda environment: .snakemake/conda/" in output
    assert (study / target).read_text()
    (prefix,) = (study / ".snakemake" / "conda").glob("*_/")
    freeze = [prefix / "bin" / "python", "-m", "pip", "freeze"]
    has = subprocess.run(freeze, capture_output=True, text=True).stdout.splitlines()
    entries = yaml.safe_load((ROOT / "envs" / "prepare.yaml").read_text())
    has, pins = map(canonical, (has, entries["dependencies"][-1]["pip"]))
    assert pins.items() <= has.items()
    assert "torch" not in has
