"""The granite family (Granite 3, 3.1, 3.2, 3.3, 4 dense): llama with four multipliers, of embeddings, attention
scores, each layer's residual branch, and logits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from tinsmith.errors import UnsupportedError
from tinsmith.graph import GraphBuilder, Value
from tinsmith.models.decoder import Key
from tinsmith.models.family import Family, Fields, shortest_float32
from tinsmith.spec import Hyper

# Logits are divided by their scale; the others multiply.
MULTIPLIERS = (
    Key("embedding_scale", "embedding_multiplier", "embedding_scale", "real", 1.0),
    Key("attention_scale", "attention_multiplier", "attention.scale", "real", 1.0),
    Key("residual_scale", "residual_multiplier", "residual_scale", "real", 1.0),
    Key("logit_scale", "logits_scaling", "logit_scale", "real", 1.0),
)
UNSCALED = {key.hf: 1.0 for key in MULTIPLIERS}


@dataclass(frozen=True)
class GraniteHyper(Hyper):
    embedding_scale: float
    attention_scale: float
    residual_scale: float
    logit_scale: float


class Granite(Family):
    name = "granite"
    hf_architectures = ("GraniteForCausalLM",)
    text_models = ("granite",)
    hyper: ClassVar[type[Hyper]] = GraniteHyper
    keys: ClassVar[tuple[Key, ...]] = MULTIPLIERS
    defaults: ClassVar[Mapping[str, Any]] = {"max_position_embeddings": 2048, **UNSCALED}
    only = {**Family.only, "mlp_bias": (False,)}
    only_gguf = {"rope.scaling.type": ("none",), "rope.scaling.finetuned": (True,)}

    def more_from_gguf(self, fields: Fields, h: dict[str, Any]) -> dict[str, Any]:
        fields.refuse("expert_shared_feed_forward_length", 0, h["ffn_dim"])  # Granite 4's files state it
        return attention_scale(fields, h)

    def more_to_gguf(self, h: Any) -> dict[str, Any]:
        return {"vocab_size": h.vocab, "rope.dimension_count": h.rope_dim}

    def check(self, h: Any, where: str) -> None:
        super().check(h, where)
        if h.head_dim != h.dim // h.heads:
            raise UnsupportedError(f"{where}: head_dim is {h.head_dim}; supported: {h.dim // h.heads}")

    def embedding_scale(self, h: GraniteHyper) -> float:
        return h.embedding_scale

    def attention_options(self, h: GraniteHyper, i: int) -> dict[str, Any]:
        return {"scale": h.attention_scale}

    def add(self, h: GraniteHyper, g: GraphBuilder, weight: str, y: Value, x: Value) -> Value:
        return g.add(x, g.matmul(y, weight), h.residual_scale)

    def logits(self, h: GraniteHyper, g: GraphBuilder, x: Value) -> None:
        g.logits(x, h.head, scale=1 / h.logit_scale)


def attention_scale(fields: Fields, h: Mapping[str, Any]) -> dict[str, float]:
    """By GGUF metadata, whose default differs from a config's."""
    return {"attention_scale": shortest_float32(fields.real("attention.scale", h["head_dim"] ** -0.5))}


family = Granite()
