"""The granite family (Granite 3, 3.1, 3.2, 3.3, 4 dense): llama with four multipliers, of embeddings, attention
scores, each layer's residual branch, and logits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tinsmith.errors import UnsupportedError
from tinsmith.graph import GraphBuilder
from tinsmith.models import decoder
from tinsmith.models.decoder import Key
from tinsmith.models.family import Fields
from tinsmith.spec import Hyper

# Logits are divided by their scale; the others multiply.
MULTIPLIERS = (
    Key("embedding_scale", "embedding_multiplier", "embedding_scale", "real", 1.0),
    Key("attention_scale", "attention_multiplier", "attention.scale", "real"),
    Key("residual_scale", "residual_multiplier", "residual_scale", "real", 1.0),
    Key("logit_scale", "logits_scaling", "logit_scale", "real", 1.0),
)


@dataclass(frozen=True)
class GraniteHyper(Hyper):
    embedding_scale: float
    attention_scale: float
    residual_scale: float
    logit_scale: float


class Granite(decoder.Decoder):
    name = "granite"
    model_type = "granite"
    hf_architectures = ("GraniteForCausalLM",)
    gguf_architecture = "granite"
    text_models = ("granite",)
    hyper = GraniteHyper
    defaults = {"max_position_embeddings": 2048}
    only = {
        **decoder.Decoder.only,
        "mlp_bias": (False,),
    }
    only_gguf = {
        "rope.scaling.type": ("none",),
        "rope.scaling.finetuned": (True,),
    }

    def more_from_hf(self, fields: Fields, rope: Fields) -> dict[str, Any]:
        return multipliers_from_hf(fields)

    def more_to_hf(self, h: GraniteHyper) -> dict[str, Any]:
        return decoder.to_hf(h, MULTIPLIERS)

    def more_from_gguf(self, fields: Fields, h: dict[str, Any]) -> dict[str, Any]:
        fields.refuse("expert_shared_feed_forward_length", 0, h["ffn_dim"])  # Granite 4's files state it
        return multipliers_from_gguf(fields, h)

    def more_to_gguf(self, h: GraniteHyper) -> dict[str, Any]:
        sizes = {"vocab_size": h.vocab, "rope.dimension_count": h.rope_dim}
        return sizes | decoder.to_gguf(h, MULTIPLIERS)

    def check(self, h: GraniteHyper, where: str) -> None:
        super().check(h, where)
        if h.head_dim != h.dim // h.heads:
            raise UnsupportedError(f"{where}: head_dim is {h.head_dim}; supported: {h.dim // h.heads}")

    def graph(self, h: GraniteHyper, g: GraphBuilder) -> None:
        x = g.embed("embed", scale=h.embedding_scale)
        table = g.rope_table(decoder.frequencies(h.rope_base, h.rope_dim))
        for i in range(h.layers):
            layer = f"layers.{i}"
            y = g.norm(x, f"{layer}.attn_norm", h.norm_eps)
            q, k, v = g.matmuls(y, f"{layer}.q", f"{layer}.k", f"{layer}.v")
            y = decoder.attend(h, g, q, k, v, table, scale=h.attention_scale)
            x = g.add(x, g.matmul(y, f"{layer}.o"), h.residual_scale)
            y = g.norm(x, f"{layer}.ffn_norm", h.norm_eps)
            gate, up = g.matmuls(y, f"{layer}.gate", f"{layer}.up")
            x = g.add(x, g.matmul(g.gated(gate, up), f"{layer}.down"), h.residual_scale)
        x = g.norm(x, "final_norm", h.norm_eps)
        g.logits(x, h.head, scale=1 / h.logit_scale)


def multipliers_from_hf(fields: Fields) -> dict[str, float]:
    return {key.field: fields.real(key.hf, 1.0) for key in MULTIPLIERS}


def multipliers_from_gguf(fields: Fields, h: Mapping[str, Any]) -> dict[str, float]:
    scale = h["head_dim"] ** -0.5
    keys = (key if key.default else key._replace(default=scale) for key in MULTIPLIERS)
    return decoder.from_gguf(fields, keys)


family = Granite()
