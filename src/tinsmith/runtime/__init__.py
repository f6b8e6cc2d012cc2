"""Running a model: load, generate, chat. Needs nothing but the compiled core.

Names are imported on first use, so a program that loads no model starts as fast as without tinsmith.
"""

from __future__ import annotations

TYPE_CHECKING = False  # type checkers read it as typing's, whose import would take most of the time
if TYPE_CHECKING:
    from tinsmith.chat.tool_formats import Call as Call
    from tinsmith.constraint import Constraint as Constraint
    from tinsmith.constraint.makers import choices as choices
    from tinsmith.constraint.makers import grammar as grammar
    from tinsmith.constraint.makers import regex as regex
    from tinsmith.constraint.makers import schema as schema
    from tinsmith.constraint.makers import tools as tools
    from tinsmith.runtime.choosing import Choice as Choice
    from tinsmith.runtime.generation import Completion as Completion
    from tinsmith.runtime.model import Model as Model
    from tinsmith.runtime.model import ModelInfo as ModelInfo
    from tinsmith.runtime.opening import load as load

_HOMES = {
    "chat.tool_formats": ("Call",),
    "constraint": ("Constraint",),
    "constraint.makers": ("choices", "grammar", "regex", "schema", "tools"),
    "runtime.choosing": ("Choice",),
    "runtime.generation": ("Completion",),
    "runtime.model": ("Model", "ModelInfo"),
    "runtime.opening": ("load",),
}
__all__ = sorted(name for names in _HOMES.values() for name in names)


def __getattr__(name: str) -> object:
    home = next((module for module, names in _HOMES.items() if name in names), None)
    if home is None:
        raise AttributeError(f"module 'tinsmith.runtime' has no attribute {name!r}")
    from importlib import import_module

    value: object = getattr(import_module(f"tinsmith.{home}"), name)
    globals()[name] = value
    return value
