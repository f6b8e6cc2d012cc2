"""The granite family (Granite 3, 3.1, 3.2, 3.3, 4 dense): llama with four multipliers, of embeddings, attention
scores, what a layer adds, and logits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tinsmith.errors import UnsupportedError
from tinsmith.graph import GraphBuilder
from tinsmith.models import decoder
from tinsmith.models.family import Fields, TensorName, shortest_float32
from tinsmith.spec import Hyper

# Hyper's field, its key in config.json and in GGUF. Logits are divided by theirs, the others multiply.
MULTIPLIERS = (
    ("embedding_scale", "embedding_multiplier", "embedding_scale"),
    ("attention_scale", "attention_multiplier", "attention.scale"),
    ("residual_scale", "residual_multiplier", "residual_scale"),
    ("logit_scale", "logits_scaling", "logit_scale"),
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
        "hidden_act": ("silu", "swish"),
        "attention_bias": (False,),
        "mlp_bias": (False,),
    }
    only_gguf = {
        "rope.scaling.type": ("none",),
        "rope.scaling.finetuned": (True,),
    }

    def more_from_hf(self, fields: Fields, rope: Fields) -> dict[str, Any]:
        return {name: fields.real(key, 1.0) for name, key, _ in MULTIPLIERS}

    def more_to_hf(self, h: GraniteHyper) -> dict[str, Any]:
        return {key: getattr(h, name) for name, key, _ in MULTIPLIERS}

    def more_from_gguf(self, fields: Fields, h: dict[str, Any]) -> dict[str, Any]:
        fields.refuse("expert_shared_feed_forward_length", 0, h["ffn_dim"])  # Granite 4's files state it
        return multipliers_from_gguf(fields, h)

    def more_to_gguf(self, h: GraniteHyper) -> dict[str, Any]:
        own: dict[str, Any] = {"vocab_size": h.vocab, "rope.dimension_count": h.rope_dim}
        return own | {key: getattr(h, name) for name, _, key in MULTIPLIERS}

    def check(self, h: GraniteHyper, where: str) -> None:
        super().check(h, where)
        if h.head_dim != h.dim // h.heads:
            raise UnsupportedError(f"{where}: head_dim is {h.head_dim}; granite has {h.dim // h.heads} here")

    def layer(self, h: Hyper) -> list[TensorName]:
        return [*decoder.two_norms(h), *decoder.attention(h, permuted=True), *decoder.feed_forward(h)]

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


def multipliers_from_gguf(fields: Fields, h: Mapping[str, Any]) -> dict[str, float]:
    usual = {"attention.scale": h["head_dim"] ** -0.5}
    return {name: shortest_float32(fields.real(key, usual.get(key, 1.0))) for name, _, key in MULTIPLIERS}


family = Granite()
