"""tinsmith: from examples and a small base model to a sealed language model that runs anywhere."""

from __future__ import annotations

__all__ = [
    "Call",
    "Choice",
    "Completion",
    "Constraint",
    "Model",
    "__version__",
    "choices",
    "grammar",
    "load",
    "regex",
    "schema",
    "tools",
]

TYPE_CHECKING = False  # what type checkers take for typing's, without its import
if TYPE_CHECKING:
    __version__: str
    from tinsmith.runtime import (
        Call,
        Choice,
        Completion,
        Constraint,
        Model,
        choices,
        grammar,
        load,
        regex,
        schema,
        tools,
    )


def __getattr__(name: str) -> object:
    if name == "__version__":
        # From the package's metadata, which have it from kernels/include/tin.h.
        from importlib.metadata import version

        return version("tinsmith")
    if name in __all__:
        from tinsmith import runtime

        return getattr(runtime, name)
    raise AttributeError(f"module 'tinsmith' has no attribute {name!r}")
