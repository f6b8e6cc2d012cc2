"""Weight formats for a whole model: which tensor gets which, and the conversion."""

from tinsmith.quant.presets import PRESETS, apply

__all__ = ["PRESETS", "apply"]
