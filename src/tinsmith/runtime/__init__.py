"""Running a model: load, generate, chat. Needs nothing but the compiled core.

Names are imported on first use, so a program that loads no model starts as fast as without tinsmith.
"""

from __future__ import annotations

TYPE_CHECKING = False  # type checkers read it as typing's, whose import would take most of the time
if TYPE_CHECKING:
    from tinsmith.chat.tool_formats import Call
    from tinsmith.constraint import Constraint
    from tinsmith.constraint.makers import choices, grammar, regex, schema, tools
    from tinsmith.runtime.choosing import Choice
    from tinsmith.runtime.generation import Completion
    from tinsmith.runtime.model import Model, ModelInfo
    from tinsmith.runtime.opening import load

_HOMES = {
    "Call": "chat.tool_formats",
    "Choice": "runtime.choosing",
    "Completion": "runtime.generation",
    "Constraint": "constraint",
    "Model": "runtime.model",
    "ModelInfo": "runtime.model",
    "choices": "constraint.makers",
    "grammar": "constraint.makers",
    "load": "runtime.opening",
    "regex": "constraint.makers",
    "schema": "constraint.makers",
    "tools": "constraint.makers",
}

__all__ = [
    "Call",
    "Choice",
    "Completion",
    "Constraint",
    "Model",
    "ModelInfo",
    "choices",
    "grammar",
    "load",
    "regex",
    "schema",
    "tools",
]


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'tinsmith.runtime' has no attribute {name!r}")
    from importlib import import_module

    value: object = getattr(import_module(f"tinsmith.{_HOMES[name]}"), name)
    globals()[name] = value
    return value
