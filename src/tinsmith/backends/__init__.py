"""Other runtimes under the face of a Model: they compute logits, all else is ours.

A back end is a module of this folder with `open_engine`; it imports its runtime when it is called.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

from tinsmith.backends.engine import Engine, Opened
from tinsmith.errors import UnsupportedError
from tinsmith.runtime.opening import NATIVE

__all__ = ["BACKENDS", "NATIVE", "Engine", "Opened", "open_engine"]

_MODULES = {"llama.cpp": "llama", "onnxruntime": "onnx"}
# The names of --backend.
BACKENDS = (NATIVE, *_MODULES)


def open_engine(name: str, path: Path, *, threads: int, **options: Any) -> Opened:
    """Opens a model in another runtime. options: of that back end's open_engine.

    Raises MissingExtraError where the runtime is not installed, FormatError or UnsupportedError for a file that
    it does not run.
    """
    if name not in _MODULES:
        raise UnsupportedError(f"back end {name!r} is not known; known: {', '.join(BACKENDS)}")
    found: Opened = import_module(f"tinsmith.backends.{_MODULES[name]}").open_engine(
        path, threads=threads, **options
    )
    return found
