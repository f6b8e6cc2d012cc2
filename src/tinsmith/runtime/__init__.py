"""Running a model: load, generate, chat. Needs nothing but the compiled core."""

from tinsmith.runtime.load import load
from tinsmith.runtime.model import Completion, Model, ModelInfo

__all__ = ["Completion", "Model", "ModelInfo", "load"]
