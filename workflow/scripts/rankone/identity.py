"""What something was made from, by content: data and settings, and the code beside.

Settings, data and base decide which run or artefact a thing is. Code and versions are
recorded beside it: the code as abstract syntax, function by function, so that comments,
docstrings, type hints and functions that are not called change nothing.
"""

import ast
import symtable
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cache, partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from rankone.files import digest
from rankone.registry import PLUGIN, plugin_file

PACKAGE = "rankone"
Root = str | Callable


@dataclass(frozen=True)
class Statement:
    """A top-level statement of a module, and the names that it defines."""

    node: ast.stmt
    names: tuple[str, ...]


@dataclass(frozen=True)
class Source:
    """A parsed module: its statements by the names they define, and its imports.

    `imports` gives module and name of what a name stands for; the name is None where it
    stands for the module itself.
    """

    statements: tuple[Statement, ...]
    defined: dict[str, Statement]
    imports: dict[str, tuple[str, str | None]]
    table: symtable.SymbolTable


def code(*roots: Root) -> dict[str, str]:
    """Digest of every definition that the roots use, by its full name, sorted.

    A root is a function, a partial one, `module:name`, or `module` for all that it
    defines. Definitions are followed within the package and plugins: through names,
    attributes of imported modules, and imports inside functions. What is looked up by
    name, such as an entry of a registry, is not followed: name it as a root.
    """
    found: dict[str, str] = {}
    left = [place for root in roots for place in places(root, found)]
    while left:
        module, name = left.pop()
        key = f"{module}.{name}"
        source = parsed(module)
        if key in found or source is None:
            continue
        if name in source.defined:
            statement = source.defined[name]
            found[key] = syntax(statement.node)
            left += references(module, statement)
        elif name in source.imports:
            left += imported(*source.imports[name])
    return dict(sorted(found.items()))


def places(root: Root, found: dict[str, str]) -> list[tuple[str, str]]:
    """Module and name of the definitions that a root stands for.

    What is bound in a partial function goes into `found`.
    """
    if isinstance(root, str):
        module, _, name = root.partition(":")
        return [(module, name)] if name else whole(module)
    if isinstance(root, partial):
        bound = [*root.args, *root.keywords.values()]
        functions = [value for value in bound if callable(value)]
        plain = [root.args, sorted(root.keywords)]
        plain += [value for value in bound if not callable(value)]
        (first, *_) = inner = places(root.func, found)
        key = f"{'.'.join(first)}, bound {digest(plain)[:12]}"
        found[key] = digest(plain)
        return inner + [place for f in functions for place in places(f, found)]
    if not (root.__module__ or "").startswith((PACKAGE, PLUGIN)):
        return []
    name = root.__qualname__.split(".")[0]
    if name == "<lambda>":
        name = enclosing(root.__module__, root.__code__.co_firstlineno)
    return [(root.__module__, name)]


def functions(entry: object) -> list[Callable]:
    """The functions that an entry of a registry holds: what it computes."""
    return [value for value in vars(entry).values() if callable(value)]


def whole(module: str) -> list[tuple[str, str]]:
    """All definitions of a module."""
    source = parsed(module)
    return [(module, name) for name in source.defined] if source else []


def enclosing(module: str, line: int) -> str:
    """A name that the statement around a line defines."""
    for statement in parsed(module).statements:
        if statement.node.lineno <= line <= statement.node.end_lineno:
            return statement.names[0]
    raise LookupError(f"{module} has no definition around line {line}")


@cache
def parsed(module: str) -> Source | None:
    """A module of the package or of a plugin; None for any other."""
    if not (path := own_file(module)):
        return None
    text = path.read_text("utf-8")
    tree = ast.parse(text)
    statements = tuple(
        Statement(node, names) for node in tree.body if (names := defines(node))
    )
    return Source(
        statements,
        {name: found for found in statements for name in found.names},
        dict(bindings(tree.body)),
        symtable.symtable(text, str(path), "exec"),
    )


@cache
def own_file(module: str) -> Path | None:
    """The file of a module of the package or of a plugin; None for any other."""
    first, *rest = module.split(".")
    if first != PACKAGE:
        return plugin_file(module)
    path = Path(__file__).parent.joinpath(*rest)
    files = (path.with_suffix(".py"), path / "__init__.py")
    return next((file for file in files if file.is_file()), None)


def defines(node: ast.stmt) -> tuple[str, ...]:
    """Names that a top-level statement defines, imports left out.

    A call that stands alone, such as a registration, has a name of its own.
    """
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return (node.name,)
    if isinstance(node, ast.Assign | ast.AnnAssign | ast.AugAssign):
        stored = [n for n in ast.walk(node) if isinstance(n, ast.Name)]
        return tuple(n.id for n in stored if isinstance(n.ctx, ast.Store))
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
        return (f"<call {syntax(node)[:12]}>",)
    return ()


def bindings(nodes: Iterable[ast.AST]) -> Iterator[tuple[str, tuple[str, str | None]]]:
    """Names that imports of the package bind, with the module and name behind them."""
    for node in nodes:
        if isinstance(node, ast.ImportFrom) and node.module and not node.level:
            for alias in node.names:
                inside = f"{node.module}.{alias.name}"
                place = (
                    (inside, None) if own_file(inside) else (node.module, alias.name)
                )
                yield alias.asname or alias.name, place


@cache
def references(module: str, statement: Statement) -> list[tuple[str, str]]:
    """Module and name of everything that a statement refers to."""
    source, node = parsed(module), statement.node
    used = set(global_names(source.table, node))
    found = [(module, name) for name in used & source.defined.keys()]
    local = dict(bindings(n for n in ast.walk(node) if isinstance(n, ast.ImportFrom)))
    known = {n: p for n, p in source.imports.items() if n in used} | local
    modules = {name: place[0] for name, place in known.items() if place[1] is None}
    for part in ast.walk(node):
        if isinstance(part, ast.Attribute) and isinstance(part.value, ast.Name):
            if part.value.id in modules:
                found.append((modules[part.value.id], part.attr))
    for name, place in known.items():
        if name not in modules:
            found += imported(*place)
    return found


def imported(module: str, name: str | None) -> list[tuple[str, str]]:
    """What an import stands for: one definition, or all of a module."""
    return whole(module) if name is None else [(module, name)]


def global_names(table: symtable.SymbolTable, node: ast.stmt) -> Iterator[str]:
    """Names of the module that a top-level statement reads, at any depth."""
    if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        yield from (n.id for n in ast.walk(node) if isinstance(n, ast.Name))
        return
    outside = [*node.decorator_list, *getattr(node, "bases", ())]
    if not isinstance(node, ast.ClassDef):
        outside += [*node.args.defaults, *filter(None, node.args.kw_defaults)]
    for part in outside:
        yield from (n.id for n in ast.walk(part) if isinstance(n, ast.Name))
    first = min([node.lineno, *(d.lineno for d in node.decorator_list)])
    for child in table.get_children():
        if child.get_name() == node.name and first <= child.get_lineno() <= node.lineno:
            yield from below(child)


def below(table: symtable.SymbolTable) -> Iterator[str]:
    """Global names of a scope and of all scopes in it."""
    yield from (s.get_name() for s in table.get_symbols() if s.is_global())
    for child in table.get_children():
        yield from below(child)


class Bare(ast.NodeTransformer):
    """Takes out docstrings and the annotations of functions."""

    def bare(self, node):
        self.generic_visit(node)
        first = node.body[0]
        if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant):
            if isinstance(first.value.value, str):
                node.body = node.body[1:] or [ast.Pass()]
        if hasattr(node, "returns"):
            node.returns = None
        return node

    visit_FunctionDef = visit_AsyncFunctionDef = visit_ClassDef = bare

    def visit_arg(self, node):
        node.annotation = None
        return node


@cache
def syntax(node: ast.stmt) -> str:
    """Digest of a statement's abstract syntax."""
    copy = ast.parse(ast.unparse(node)).body[0]
    return digest(ast.dump(Bare().visit(copy)))


def changed(before: dict[str, str], after: dict[str, str]) -> list[str]:
    """Names of definitions that are not the same in both, sorted."""
    names = before.keys() | after.keys()
    return sorted(name for name in names if before.get(name) != after.get(name))


def versions(packages: Iterable[str]) -> dict[str, str]:
    """The installed versions of packages; those that are not installed are left out."""
    found = {}
    for name in packages:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
