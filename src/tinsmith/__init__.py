"""tinsmith: from examples and a small base model to a sealed language model that runs anywhere."""

from __future__ import annotations

__version__ = "0.1.0"
__all__ = ["Completion", "Model", "__version__", "load"]

TYPE_CHECKING = False  # what type checkers take for typing's, without its import
if TYPE_CHECKING:
    from tinsmith.runtime import Completion, Model, load


def __getattr__(name: str) -> object:
    if name in __all__:
        from tinsmith import runtime

        return getattr(runtime, name)
    raise AttributeError(f"module 'tinsmith' has no attribute {name!r}")
