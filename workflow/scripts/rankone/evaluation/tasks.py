"""Where lm-eval tasks are; light enough for the Snakefile to import."""

import os
from importlib.util import find_spec
from pathlib import Path

TASKS = Path(__file__).resolve().parents[3] / "lm_eval_tasks"


def own_tasks(folders: list[str]) -> set[str]:
    """Names of the lm-eval tasks in Rankone's folder and in the study's."""
    files = [
        file for folder in (TASKS, *folders) for file in Path(folder).glob("*.yaml")
    ]
    lines = [line for file in files for line in file.read_text("utf-8").splitlines()]
    return {line.split()[1] for line in lines if line.startswith("task: ")}


def lm_eval_folder(name: str) -> Path | None:
    """The folder of lm-eval's tasks that has a file of that name; None if none has.

    Their index of fifteen thousand files takes a minute to make.
    """
    root = Path(find_spec("lm_eval").origin).parent / "tasks"
    for folder, _, files in os.walk(root):
        for file in {f"{name}.yaml", f"_{name}.yaml"} & set(files):
            lines = Path(folder, file).read_text("utf-8").splitlines()
            if {f"task: {name}", f"group: {name}"} & set(lines):
                return root / Path(folder).relative_to(root).parts[0]
    return None
