"""A recipe: a TOML file that states base, data, training, build and tests. Its paths are relative to it."""

from __future__ import annotations

from tinsmith.pipeline.recipe.reading import joint, load
from tinsmith.pipeline.recipe.values import Recipe

__all__ = ["Recipe", "joint", "load"]
