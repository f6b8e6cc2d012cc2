"""Running a model: load, generate, chat. Needs nothing but the compiled core."""

from tinsmith.runtime.generation import Completion
from tinsmith.runtime.model import Model, ModelInfo
from tinsmith.runtime.opening import load

__all__ = ["Completion", "Model", "ModelInfo", "load"]
