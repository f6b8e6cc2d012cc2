"""Measures src/tinsmith/pipeline by its source alone, and prints one line of JSON.

floors: the longest chain of imports within the folder, those for types included. rooms: by stage, how many
modules of the folder a call of its `make` can enter: those of each function, class and value that is named on
the way, in annotations too.
"""

from __future__ import annotations

import ast
import json
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

SOURCE = Path(__file__).parents[1] / "src"
PACKAGE = "tinsmith.pipeline"
STAGES = f"{PACKAGE}.stages."
Name = tuple[str, str]  # a module, and a name in it


class Module:
    """A source file's imports and what its names stand for. imports: by local name, a module or a name in one;
    needed: the modules that it imports."""

    def __init__(self, name: str, path: Path, known: set[str]) -> None:
        tree = ast.parse(path.read_text(encoding="utf-8"))
        self.defined = {name: node for node in tree.body for name in _names(node)}
        self.imports: dict[str, str | Name] = {}
        self.needed: set[str] = set()
        for node in ast.walk(tree):
            for local, target in _imported(node, known):
                self.imports[local] = target
                self.needed.add(target if isinstance(target, str) else target[0])
        self.needed.discard(name)


def _names(node: ast.stmt) -> Iterator[str]:
    if isinstance(node, ast.FunctionDef | ast.ClassDef):
        yield node.name
    for target in [node.target] if isinstance(node, ast.AnnAssign) else getattr(node, "targets", ()):
        yield from (one.id for one in ast.walk(target) if isinstance(one, ast.Name))


def _imported(node: ast.AST, known: set[str]) -> Iterator[tuple[str, str | Name]]:
    """The local names of what an import takes from the folder."""
    if isinstance(node, ast.ImportFrom) and node.module:
        for alias in node.names:
            whole = f"{node.module}.{alias.name}"
            if whole in known:
                yield alias.asname or alias.name, whole
            elif node.module in known:
                yield alias.asname or alias.name, (node.module, alias.name)


def modules() -> dict[str, Module]:
    paths = {}
    for path in sorted((SOURCE / PACKAGE.replace(".", "/")).rglob("*.py")):
        parts = path.relative_to(SOURCE).with_suffix("").parts
        paths[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return {name: Module(name, path, set(paths)) for name, path in paths.items()}


def chain(found: dict[str, Module]) -> list[str]:
    """The longest chain of imports, from the top."""

    @cache
    def below(name: str) -> tuple[str, ...]:
        return (name, *max((below(one) for one in found[name].needed), key=len, default=()))

    return list(max(map(below, found), key=len))


def entered(found: dict[str, Module], start: Name) -> set[str]:
    """The modules that a call of the function can enter."""
    seen: set[Name] = set()
    waiting = [start]
    while waiting:
        module, name = waiting.pop()
        while name not in found[module].defined and isinstance(
            target := found[module].imports.get(name), tuple
        ):
            module, name = target  # a package's own name for another module's
        if (module, name) in seen or name not in found[module].defined:
            continue
        seen.add((module, name))
        waiting += _mentioned(found[module], module, found[module].defined[name])
    return {module for module, _ in seen}


def _mentioned(module: Module, own: str, node: ast.AST) -> Iterator[Name]:
    for one in ast.walk(node):
        if isinstance(one, ast.Name):
            target = module.imports.get(one.id)
            yield target if isinstance(target, tuple) else (own, one.id)
        elif isinstance(one, ast.Attribute) and isinstance(one.value, ast.Name):
            target = module.imports.get(one.value.id)
            if isinstance(target, str):
                yield target, one.attr


def measured() -> dict[str, object]:
    found = modules()
    longest = chain(found)
    stages = [name for name in found if name.startswith(STAGES)]
    makes = [(name, one) for name in stages for one in found[name].defined if one.split("_")[0] == "make"]
    rooms = {f"{name.removeprefix(STAGES)}:{one}": entered(found, (name, one)) for name, one in makes}
    return {
        "modules": len(found),
        "floors": len(longest),
        "chain": [name.removeprefix(f"{PACKAGE}.") for name in longest],
        "rooms": {name: len(modules) for name, modules in rooms.items()},
    }


if __name__ == "__main__":
    json.dump(measured(), sys.stdout)
    print()
