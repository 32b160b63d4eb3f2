"""What code a stage's bytes depend on: every first-party module its core reaches by import.

Imports are followed in the source, without running it; each module counts as its normalised syntax tree, so
comments, docstrings and formatting do not matter. What is loaded by name at run time (a game, a model) is
declared by the stage. Of a settings module only the methods of its classes count (properties, validators),
with what they name: the values that it declares are in the key by themselves, resolved.
"""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Iterable, Iterator
from functools import lru_cache
from pathlib import Path

from storage.location import project_root
from worldgen_core.errors import ConfigError

NEUTRAL = frozenset(
    {
        # The tree of settings and the words they accept: resolved values are a part of the key of their own.
        "worldgen_core.config",
        "worldgen_core.names",
        "worldgen_core.neutral",
        # Errors, progress and the outcome record say something about the work and change none of it.
        "storage.errors",
        "worldgen_core.errors",
        "worldgen_core.progress",
        "worldgen_core.outcome",
    }
)
"""Modules that cannot change a stage's bytes, so neither hashed nor followed."""


def is_neutral(module: str, *, root: Path | None = None) -> bool:
    """True for modules that cannot change what a stage makes: those listed, and settings without methods."""
    if module in NEUTRAL or not _is_settings(module):
        return module in NEUTRAL
    path = _source_file(module, root or project_root())
    return path is None or not _read_module(path, module, path.stat().st_mtime_ns)[0]


def _is_settings(module: str) -> bool:
    return module.endswith("settings")


def fingerprint(modules: Iterable[str], *, root: Path | None = None) -> dict[str, str]:
    """Map each first-party source file reachable from `modules` to the hash of its normalised syntax tree.

    First-party is what has its source below `root`, the checkout by default. Paths are relative to it, with
    `/`. Raises ConfigError for a module without a file and for a file that does not parse.
    """
    base = root or project_root()
    queue = [module for name in modules for module in _with_parents(name)]
    for name in queue:
        if _source_file(name, base) is None:
            raise ConfigError(
                f"stage declares the module {name}",
                expected=f"its source below {base}",
                found="no such file",
                next_step="correct the `core` of the stage's decorator",
            )
    seen: dict[str, str] = {}
    visited: set[str] = set()
    while queue:
        name = queue.pop()
        path = _source_file(name, base)
        if name in visited or path is None or name in NEUTRAL:
            continue
        visited.add(name)
        digest, imports = _read_module(path, name, path.stat().st_mtime_ns)
        if digest:
            seen[path.relative_to(base).as_posix()] = digest
        queue.extend(module for found in imports for module in _with_parents(found))
    return dict(sorted(seen.items()))


def _with_parents(module: str) -> list[str]:
    """Importing a.b.c runs a and a.b as well."""
    parts = module.split(".")
    return [".".join(parts[: index + 1]) for index in range(len(parts))]


def _source_file(module: str, base: Path) -> Path | None:
    stem = base.joinpath(*module.split("."))
    package, plain = stem / "__init__.py", stem.with_suffix(".py")
    return package if package.is_file() else plain if plain.is_file() else None


@lru_cache(maxsize=4096)
def _read_module(path: Path, name: str, _mtime_ns: int) -> tuple[str, tuple[str, ...]]:
    """Hash one file and list the modules it may import; cached until the file changes.

    The hash is empty for settings without methods.
    """
    try:
        tree = ast.parse(path.read_text())
    except SyntaxError as error:
        raise ConfigError(
            f"{path}:{error.lineno}: not valid Python",
            expected="a module that parses, to know what depends on it",
            found=str(error.msg),
            next_step="correct the file, then run the same command again",
        ) from error
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    imports = set(_imports(tree, package))
    _drop_docstrings(tree)
    if _is_settings(name):
        tree = _methods_with_what_they_name(tree)
        imports = {module for module in imports if _is_settings(module)} | set(_imports(tree, package))
        if not tree.body:
            return "", tuple(sorted(imports))
    return hashlib.sha256(ast.dump(tree).encode()).hexdigest(), tuple(sorted(imports))


def _methods_with_what_they_name(tree: ast.Module) -> ast.Module:
    """The methods of a module's classes, and the functions, constants and imports that they use, in order."""
    named = {name: part for statement in tree.body for name, part in _bindings(statement)}
    used: dict[str, ast.stmt] = {}
    queue: list[ast.AST] = []
    for owner in [node for node in ast.walk(tree) if isinstance(node, ast.ClassDef)]:
        methods = [part for part in owner.body if isinstance(part, ast.FunctionDef | ast.AsyncFunctionDef)]
        used |= {f"{owner.name}.{method.name}": method for method in methods}
        queue += methods
    while queue:
        part = queue.pop()
        _drop_annotations(part)
        names = {node.id for node in ast.walk(part) if isinstance(node, ast.Name)}
        for name in (names & named.keys()) - used.keys():
            used[name] = named[name]
            queue.append(named[name])
    owners = [ast.Expr(ast.Constant(name)) for name in sorted(used)]
    return ast.Module(body=[*owners, *(used[name] for name in sorted(used))], type_ignores=[])


def _bindings(statement: ast.stmt) -> Iterator[tuple[str, ast.stmt]]:
    """The names that a statement gives to functions, constants and imports, each with its part."""
    if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef):
        yield statement.name, statement
    elif isinstance(statement, ast.Assign | ast.AnnAssign):
        targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
        for node in (node for target in targets for node in ast.walk(target)):
            if isinstance(node, ast.Name):
                yield node.id, statement
    elif isinstance(statement, ast.Import):
        for alias in statement.names:
            yield alias.asname or alias.name.partition(".")[0], ast.Import([alias])
    elif isinstance(statement, ast.ImportFrom):
        for alias in statement.names:
            part = ast.ImportFrom(statement.module, [alias], statement.level)
            yield alias.asname or alias.name, part


def _drop_annotations(tree: ast.AST) -> None:
    """Drop what a function says about types: its arguments' and its result's are not evaluated."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            node.returns = None
        elif isinstance(node, ast.arg):
            node.annotation = None


def _imports(tree: ast.AST, package: str) -> Iterator[str]:
    """Name every module that an import statement in the tree may load, type-checking blocks excepted."""
    for node in _walk_run_time(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parent = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            source = ".".join([*parent, *([node.module] if node.module else [])])
            yield source
            # `from package import name`: the name may be a module of that package.
            yield from (f"{source}.{alias.name}" for alias in node.names)


def _walk_run_time(tree: ast.AST) -> Iterator[ast.AST]:
    queue = [tree]
    while queue:
        node = queue.pop()
        yield node
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            queue.extend(node.orelse)
        else:
            queue.extend(ast.iter_child_nodes(node))


def _drop_docstrings(tree: ast.Module) -> None:
    """Drop docstrings and other bare strings (attribute docs): text for people, not for the machine."""
    for node in ast.walk(tree):
        body: list[ast.stmt] | None = (
            getattr(node, "body", None) if not isinstance(node, ast.Lambda) else None
        )
        if isinstance(body, list):
            body[:] = [statement for statement in body if not _is_bare_string(statement)]


def _is_bare_string(statement: ast.stmt) -> bool:
    return (
        isinstance(statement, ast.Expr)
        and isinstance(statement.value, ast.Constant)
        and isinstance(statement.value.value, str)
    )
