"""Language models that transformers has only as parts of vision-language models."""

from __future__ import annotations

from functools import cache
from typing import Any

from tinsmith.spec import Spec
from tinsmith.vision.parts import parts_of


def model_type(spec: Spec, alone: str) -> str:
    """transformers' model type for the spec's language model. alone: its type without a vision model."""
    return parts_of(spec.vision)[1].hf_text.get(alone, alone) if spec.vision else alone


@cache
def register() -> None:
    """Registers these models with transformers' AutoModelForCausalLM."""
    from torch import nn
    from transformers import (
        AutoModelForCausalLM,
        PreTrainedModel,
        Qwen3ForCausalLM,
        Qwen3VLTextConfig,
        Qwen3VLTextModel,
    )

    class Qwen3VLForCausalLM(Qwen3ForCausalLM):  # type: ignore[misc]
        """Its trunk takes row and column positions, and image features for its first layers (DeepStack)."""

        config_class = Qwen3VLTextConfig

        def __init__(self, config: Any) -> None:
            PreTrainedModel.__init__(self, config)
            self.model = Qwen3VLTextModel(config)
            self.vocab_size = config.vocab_size
            self.lm_head = nn.Linear(config.hidden_size, config.vocab_size, bias=False)
            self.post_init()

    AutoModelForCausalLM.register(Qwen3VLTextConfig, Qwen3VLForCausalLM, exist_ok=True)
