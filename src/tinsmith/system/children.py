"""Python processes that tinsmith starts. They import what this one does, and nothing of the current folder:
whoever can put a json.py there would have it run.

The current folder itself stays: what the environment names (caches, pip's configuration) may be relative to it.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

_ISOLATED = bool(sys.flags.isolated)


def python(*arguments: str) -> list[str]:
    """The command of a child; it goes with `environment`."""
    return [sys.executable, "-I" if _ISOLATED else "-P", *arguments]


def environment(more: Mapping[str, str] | None = None) -> dict[str, str]:
    """A child's variables. An empty entry of PYTHONPATH means the current folder, and mostly comes of a
    variable that was not set: it is left out; all others mean what they mean here."""
    variables = {**os.environ, "PYTHONSAFEPATH": "1", **(more or {})}
    paths = [str(Path(one).absolute()) for one in variables.pop("PYTHONPATH", "").split(os.pathsep) if one]
    return {**variables, "PYTHONPATH": os.pathsep.join(paths)} if paths else variables


@contextmanager
def as_environment() -> Iterator[None]:
    """For what takes a child's variables from this process alone, as multiprocessing does."""
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
