"""No verb overwrites its input: a file that its command line names, or another of the same model."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from tinsmith.cli._types import File, Folder
from tinsmith.errors import InputError

ADAPTER = "NAME[:SCALE]"  # metavar of a value that may be a path


@contextmanager
def guarded(params: Sequence[click.Parameter], values: Mapping[str, Any]) -> Iterator[None]:
    """Within it, writing a file or folder that a parameter reads raises InputError. So does entering, if a
    parameter names an input as its output, or two outputs are one file."""
    from tinsmith.system import files

    reads: dict[Path, str] = {}
    writes: dict[Path, tuple[Path, str]] = {}
    rewritten = {param.type.rewrites for param in params if isinstance(param.type, File)}
    for param in params:
        written, name = isinstance(param.type, File | Folder) and param.type.out, name_of(param)
        for path in _paths(param, values[str(param.name)]):
            if not written and param.name not in rewritten and os.path.lexists(path):
                reads.setdefault(files.resolved(path), name)
            elif written and isinstance(param.type, File) and not os.path.isdir(path):  # noqa: PTH112
                _, other = writes.setdefault(files.resolved(path), (path, name))
                if other != name:
                    raise InputError(f"{path}: is the output of both {other} and {name}; give two paths")

    def check(path: Path) -> None:
        real = files.resolved(path)
        for read, name in reads.items():
            inside = read in real.parents and os.path.lexists(real) and _is_of(real, read)
            if real == read or real in read.parents or inside:
                raise InputError(f"{path}: is the input of {name}; give another path for the output")

    for path, _ in writes.values():
        check(path)
    with files.claims(check):
        yield


def _paths(param: click.Parameter, value: Any) -> Iterator[Path]:
    given = value if isinstance(value, list | tuple) else [value]
    for one in given:
        if isinstance(param.type, File | Folder) and isinstance(one, str | Path):
            yield Path(one)
        elif param.metavar == ADAPTER and isinstance(one, str):
            yield from (Path(text) for text in (one, one.rpartition(":")[0]) if text)


def name_of(param: click.Parameter) -> str:
    return param.opts[0] if param.param_type_name == "option" else str(param.metavar)


def _is_of(path: Path, folder: Path) -> bool:
    """Whether reading the folder reads the file: of a model folder, only the model's own files count."""
    from tinsmith.formats.model_files import gguf_pair, model_files

    if (folder / "config.json").exists() or gguf_pair(folder):
        return path in model_files(folder)
    return True
