"""The lock, the environments and the scripts agree."""

import ast
import re
import sys
from collections.abc import Iterable, Iterator
from functools import cache
from importlib.metadata import packages_distributions, requires
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from conftest import ROOT

ENVS = sorted((ROOT / "envs").glob("*.yaml"))
RULES = sorted((ROOT / "workflow" / "rules").glob("*.smk"))
SCRIPTS = ROOT / "workflow" / "scripts"
DISTRIBUTIONS = {"lm_eval": "lm-eval", "yaml": "pyyaml", "huggingface_hub": None}
# Added by whoever asks for them (launch.config, grpo.use_vllm): they need a GPU.
DISTRIBUTIONS |= {"deepspeed": None, "vllm": None}


def locked() -> dict[str, str]:
    lines = (ROOT / "requirements.lock").read_text().splitlines()
    pins = (re.fullmatch(r"([A-Za-z0-9._-]+)==(\S+)", line) for line in lines)
    return {pin[1].lower().replace("_", "-"): pin[2] for pin in pins}


def pins(env) -> dict[str, str]:
    dependencies = yaml.safe_load(env.read_text())["dependencies"]
    (pip,) = [entry["pip"] for entry in dependencies if isinstance(entry, dict)]
    return dict(pin.split("==") for pin in pip)


def test_the_lock_has_plain_pins_only():
    assert len(locked()) == len((ROOT / "requirements.lock").read_text().splitlines())


@pytest.mark.parametrize("env", ENVS, ids=lambda env: env.stem)
def test_an_environment_pins_what_the_lock_pins(env):
    drifted = {n: v for n, v in pins(env).items() if locked().get(n) != v}
    assert not drifted, f"{env.name} differs from requirements.lock: {drifted}"


def needed(requirement: Requirement) -> list[Requirement]:
    """What an installed distribution requires here, for the extras asked of it."""
    extras = [{"extra": extra} for extra in requirement.extras] or [{"extra": ""}]
    declared = map(Requirement, requires(requirement.name) or [])
    return [
        found
        for found in declared
        if not found.marker or any(map(found.marker.evaluate, extras))
    ]


def unsolved(requirements: list[Requirement]) -> set[str]:
    """Requirements, with all that they require in turn, that the lock does not meet."""
    versions, left = locked(), list(requirements)
    found, seen = set(), set()
    while left:
        requirement = left.pop()
        name = canonicalize_name(requirement.name)
        if name not in versions or not requirement.specifier.contains(versions[name]):
            found.add(str(requirement))
        elif (name, *sorted(requirement.extras)) not in seen:
            seen.add((name, *sorted(requirement.extras)))
            left += needed(requirement)
    return found


@pytest.mark.parametrize("env", ENVS, ids=lambda env: env.stem)
def test_an_environment_has_a_solution(env):
    """The lock's versions are one: each is what all that is installed asks for."""
    wanted = [Requirement(f"{n}=={v}") for n, v in pins(env).items()]
    assert wanted and not unsolved(wanted)


def test_the_lock_leaves_one_requirement_unmet():
    """vLLM's numba ends below numpy 2.4. The SLURM plugin asks for 2.4.5 and uses numpy
    for its report on efficiency alone, with nothing that 2.3 lacks.
    """
    wanted = [Requirement(f"{n}=={v}") for n, v in locked().items()]
    assert unsolved(wanted) == {"numpy<3,>=2.4.5"}


def test_a_pin_that_another_one_rules_out_is_found():
    assert unsolved([Requirement("transformers<5")]) == {"transformers<5"}
    assert unsolved([Requirement("no-such-package")]) == {"no-such-package"}


def test_every_dependency_of_the_project_is_locked():
    text = (ROOT / "pyproject.toml").read_text()
    section = text.split("dependencies = [")[1].split("]")[0]
    names = re.findall(r'"([A-Za-z0-9._-]+)', section)
    assert names and not [name for name in names if name.lower() not in locked()]


def rule_scripts() -> list[tuple[str, str]]:
    """(environment, script) of every rule."""
    pattern = r'conda:\s+"../../envs/(\w+).yaml".*?script:\s+"../scripts/(\w+).py"'
    return [
        pair for file in RULES for pair in re.findall(pattern, file.read_text(), re.S)
    ]


def registered(folder: str) -> set[str]:
    """The modules that a registry imports from its folder: rankone.report.figures."""
    files = (SCRIPTS / folder.replace(".", "/")).glob("*.py")
    return {f"{folder}.{file.stem}" for file in files if file.stem != "__init__"}


def nodes(tree: ast.AST, inside: bool) -> Iterator[ast.AST]:
    """What is carried out when a module is imported, and inside functions if asked."""
    for node in ast.iter_child_nodes(tree):
        checking = isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(
            node.test
        )
        function = isinstance(node, ast.FunctionDef) and not inside
        if not checking:
            yield node
            yield from () if function else nodes(node, inside)


@cache
def imports(file: Path, inside: bool = False) -> frozenset[str]:
    """Modules that a file imports, and the names that it takes from them as paths.

    Those in the folder of a registry are imported by `Registry(..., folder)`.
    """
    found = set()
    for node in nodes(ast.parse(file.read_text()), inside):
        if isinstance(node, ast.Call) and "Registry" in ast.unparse(node.func):
            found |= registered(node.args[1].value)
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found |= {node.module} | {f"{node.module}.{a.name}" for a in node.names}
    return frozenset(found)


def own_files(names: Iterable[str]) -> set[Path]:
    """The package's files among imported modules."""
    files = {SCRIPTS / f"{name.replace('.', '/')}.py" for name in names}
    return {file for file in files if file.exists()}


def third_party(script: Path) -> set[str]:
    """Third-party modules that a script needs.

    Those that it and the modules beside it import anywhere, and those that are imported
    with the modules behind these; what is heavy is imported where it is used.
    """
    near = {script} | own_files(imports(script))
    seen, left = set(), list(near)
    while left:
        file = left.pop()
        seen.add(file)
        left += own_files(imports(file)) - seen
    names = {name for file in seen for name in imports(file)}
    names |= {name for file in near for name in imports(file, inside=True)}
    tops = {name.split(".")[0] for name in names}
    return tops - sys.stdlib_module_names - {"rankone", "snakemake"}


@pytest.mark.parametrize(("env", "script"), rule_scripts())
def test_a_script_imports_only_what_its_environment_has(env, script):
    names = third_party(SCRIPTS / f"{script}.py")
    distributions = {DISTRIBUTIONS.get(name, name) for name in names} - {None}
    missing = {
        name
        for name in distributions
        if name.replace("_", "-") not in pins(ROOT / "envs" / f"{env}.yaml")
    }
    assert not missing, f"envs/{env}.yaml lacks {missing} for {script}.py"


def test_every_script_belongs_to_a_rule():
    # A user calls these by hand: for a config, and for lm-eval's own command line.
    used = {script for _, script in rule_scripts()} | {"pin", "write_tasks"}
    assert used == {file.stem for file in SCRIPTS.glob("*.py")}


def test_no_script_hides_an_installed_package():
    """Training processes have the scripts' folder before the installed packages."""
    names = {file.stem for file in SCRIPTS.glob("*.py")}
    assert "train" in names and not names & packages_distributions().keys()
