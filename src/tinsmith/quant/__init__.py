"""Weight formats for a whole model: which tensor gets which, and the conversion."""

from tinsmith.quant.model import apply, encoder
from tinsmith.quant.presets import PRESETS

__all__ = ["PRESETS", "apply", "encoder"]
