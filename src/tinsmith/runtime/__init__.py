"""Running a model: load, generate, chat. Needs nothing but the compiled core.

A name is imported when it is first asked for: a program that may never load a model starts as if without us.
"""

from __future__ import annotations

TYPE_CHECKING = False  # what type checkers take for typing's, whose import would be most of this one's time
if TYPE_CHECKING:
    from tinsmith.runtime.generation import Completion
    from tinsmith.runtime.model import Model, ModelInfo
    from tinsmith.runtime.opening import load

__all__ = ["Completion", "Model", "ModelInfo", "load"]

_HOMES = {"Completion": "generation", "Model": "model", "ModelInfo": "model", "load": "opening"}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'tinsmith.runtime' has no attribute {name!r}")
    from importlib import import_module

    found: object = getattr(import_module(f"tinsmith.runtime.{_HOMES[name]}"), name)
    globals()[name] = found
    return found
