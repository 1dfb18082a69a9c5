"""Additions by name, one file each: in a folder of the package, or of the user's own.

An entry registers itself when its file is imported. A registry imports the files of its
folder, and the user's plugins, when it is first looked into; declarations are light, as
planning and the page read them (what is heavy is imported where it is used).
"""

import importlib.util
import os
import pkgutil
import sys
from collections.abc import Iterator, Mapping
from functools import cache
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Protocol, TypeVar

from rankone.errors import UserError

# Paths of the plugins, for the jobs and processes that a study starts.
PLUGINS = "RANKONE_PLUGINS"
PLUGIN = "rankone_plugin_"  # before the name of a plugin's module


class Entry(Protocol):
    """What can be registered. Entries without an `order` come last, by name."""

    name: str


T = TypeVar("T", bound=Entry)


class Registry(Mapping[str, T]):
    """The entries of one kind by name, in the order of `order`, then of their names.

    `what` an entry is called in messages; `folder` is the package with their files.
    """

    def __init__(self, what: str, folder: str):
        self.what, self.folder = what, folder
        self.entries: dict[str, T] = {}
        self.modules: dict[str, str] = {}  # names of the modules that registered them

    def add(self, entry: T, module: str = "") -> T:
        """Register an entry; UserError for a name that another file has registered.

        `module` is the name of that file's module; the caller's by default.
        """
        module = module or sys._getframe(1).f_globals["__name__"]
        if self.modules.setdefault(entry.name, module) != module:
            raise UserError(
                f"{self.what} {entry.name!r} is registered twice, by "
                f"{self.modules[entry.name]} and by {module}; rename one of them."
            )
        self.entries[entry.name] = entry
        return entry

    def load(self) -> dict[str, T]:
        """All entries, after importing every file that may have some."""
        load_folder(self.folder)
        load_plugins()
        ordered = sorted(
            self.entries.values(), key=lambda e: (getattr(e, "order", 1000), e.name)
        )
        return {entry.name: entry for entry in ordered}

    def module(self, name: str) -> str:
        """The name of the module that an entry is from."""
        self[name]
        return self.modules[name]

    def __getitem__(self, name: str) -> T:
        found = self.load()
        if name not in found:
            raise UserError(
                f"{self.what} {name!r} is unknown; expected one of {', '.join(found)}."
            )
        return found[name]

    def __contains__(self, name: object) -> bool:
        return name in self.load()

    def __iter__(self) -> Iterator[str]:
        return iter(self.load())

    def __len__(self) -> int:
        return len(self.load())


@cache
def load_folder(package: str) -> None:
    """Import every module of a package."""
    folder = import_module(package)
    for module in pkgutil.iter_modules(folder.__path__, f"{package}."):
        import_module(module.name)


def load_plugins() -> None:
    """Import the plugins that the environment names, each once."""
    for path in filter(None, os.environ.get(PLUGINS, "").split(os.pathsep)):
        load_plugin(path)


@cache
def load_plugin(path: str) -> ModuleType:
    """Import a user's file; UserError when it is not there or fails."""
    name = f"{PLUGIN}{Path(path).stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or not Path(path).is_file():
        raise UserError(f"plugins: there is no Python file {path}.")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except UserError:
        raise
    except Exception as error:
        raise UserError(f"plugins: {path} fails: {error!r}.") from error
    return module


def plugin_file(module: str) -> Path | None:
    """The file of an imported plugin's module; None for any other module."""
    found = sys.modules.get(module) if module.startswith(PLUGIN) else None
    return Path(found.__file__) if found else None


def name_plugins(paths: list[str]) -> None:
    """Name the plugins of a study for this process and all that it starts.

    UserError for two files of one name, or one that cannot be imported.
    """
    files = [str(Path(path).resolve()) for path in paths]
    stems = [Path(file).stem for file in files]
    if twice := {stem for stem in stems if stems.count(stem) > 1}:
        raise UserError(f"plugins: two files are called {min(twice)}; rename one.")
    os.environ[PLUGINS] = os.pathsep.join(files)
    load_plugins()
