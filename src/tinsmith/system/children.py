"""Child Python processes. They import the same modules as this one, and nothing from the current folder, where
anybody may have put a json.py.

They keep the current folder: environment variables (caches, pip's configuration) may be relative to it.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

_ISOLATED = bool(sys.flags.isolated)


def python(*arguments: str) -> list[str]:
    """A child's command, for use with `environment`."""
    return [sys.executable, "-I" if _ISOLATED else "-P", *arguments]


def environment(more: Mapping[str, str] | None = None) -> dict[str, str]:
    """A child's variables. Drops empty entries of PYTHONPATH, which mean the current folder and mostly come
    from an unset variable; makes the others absolute."""
    variables = {**os.environ, "PYTHONSAFEPATH": "1", **(more or {})}
    paths = [str(Path(one).absolute()) for one in variables.pop("PYTHONPATH", "").split(os.pathsep) if one]
    return {**variables, "PYTHONPATH": os.pathsep.join(paths)} if paths else variables


@contextmanager
def as_environment() -> Iterator[None]:
    """Sets these variables in this process, for multiprocessing."""
    before = dict(os.environ)
    safe = environment()
    try:
        os.environ.update(safe)
        if "PYTHONPATH" not in safe:
            os.environ.pop("PYTHONPATH", None)
        yield
    finally:
        for name in ("PYTHONPATH", "PYTHONSAFEPATH"):
            os.environ.pop(name, None)
            if name in before:
                os.environ[name] = before[name]
