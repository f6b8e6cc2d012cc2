"""From a spec to a sealed tin: graph, passes, memory plan, program, packed weights.

Names are imported on first use: a runtime that only reads a compiled constraint builds nothing.
"""

from __future__ import annotations

TYPE_CHECKING = False  # as in tinsmith.runtime
if TYPE_CHECKING:
    from tinsmith.compiler.build import build_image, build_tin, build_words

__all__ = ["build_image", "build_tin", "build_words"]


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module 'tinsmith.compiler' has no attribute {name!r}")
    from tinsmith.compiler import build

    return getattr(build, name)
