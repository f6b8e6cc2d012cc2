"""From a spec to a sealed tin: graph, passes, memory plan, program, packed weights."""

from tinsmith.compiler.build import build_image, build_tin, build_words

__all__ = ["build_image", "build_tin", "build_words"]
