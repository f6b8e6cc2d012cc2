"""The llama family: RMS norm, grouped attention with rotary positions, gated SiLU feed-forward, no bias."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from tinsmith.errors import FormatError, UnsupportedError
from tinsmith.models.family import Family, Fields, TensorName, shortest_float32
from tinsmith.models.spec import Hyper

if TYPE_CHECKING:
    from tinsmith.compiler.graph import GraphBuilder

# Role of a layer's part, its name in Hugging Face's folder and in GGUF.
_PARTS = (
    ("attn_norm", "input_layernorm", "attn_norm"),
    ("q", "self_attn.q_proj", "attn_q"),
    ("k", "self_attn.k_proj", "attn_k"),
    ("v", "self_attn.v_proj", "attn_v"),
    ("o", "self_attn.o_proj", "attn_output"),
    ("ffn_norm", "post_attention_layernorm", "ffn_norm"),
    ("gate", "mlp.gate_proj", "ffn_gate"),
    ("up", "mlp.up_proj", "ffn_up"),
    ("down", "mlp.down_proj", "ffn_down"),
)


class Llama(Family):
    name: ClassVar[str] = "llama"
    hf_architectures: ClassVar[tuple[str, ...]] = ("LlamaForCausalLM",)
    gguf_architecture: ClassVar[str] = "llama"

    def hyper_from_hf(self, config: Mapping[str, Any]) -> Hyper:
        fields = Fields(config, "config.json")
        fields.refuse("hidden_act", "silu", "swish")
        fields.refuse("attention_bias", False)
        fields.refuse("mlp_bias", False)
        fields.refuse("partial_rotary_factor", 1, 1.0)
        rope = _rope_parameters(config)
        heads = fields.count("num_attention_heads")
        dim = fields.count("hidden_size")
        head_dim = fields.count("head_dim", dim // heads)
        return _checked(
            Hyper(
                layers=fields.count("num_hidden_layers"),
                dim=dim,
                ffn_dim=fields.count("intermediate_size"),
                heads=heads,
                kv_heads=fields.count("num_key_value_heads", heads),
                head_dim=head_dim,
                vocab=fields.count("vocab_size"),
                context=fields.count("max_position_embeddings", 2048),
                norm_eps=fields.real("rms_norm_eps", 1e-6),
                rope_base=Fields(rope, "config.json").real("rope_theta", 10000.0),
                rope_dim=head_dim,
                tied=bool(config.get("tie_word_embeddings", False)),
            ),
            "config.json",
        )

    def hyper_to_hf(self, h: Hyper) -> dict[str, Any]:
        return {
            "architectures": ["LlamaForCausalLM"],
            "attention_bias": False,
            "attention_dropout": 0.0,
            "head_dim": h.head_dim,
            "hidden_act": "silu",
            "hidden_size": h.dim,
            "initializer_range": 0.02,
            "intermediate_size": h.ffn_dim,
            "max_position_embeddings": h.context,
            "mlp_bias": False,
            "model_type": "llama",
            "num_attention_heads": h.heads,
            "num_hidden_layers": h.layers,
            "num_key_value_heads": h.kv_heads,
            "pretraining_tp": 1,
            "rms_norm_eps": h.norm_eps,
            "rope_scaling": None,
            "rope_theta": h.rope_base,
            "tie_word_embeddings": h.tied,
            "use_cache": True,
            "vocab_size": h.vocab,
        }

    def hyper_from_gguf(self, meta: Mapping[str, Any], *, tied: bool) -> Hyper:
        fields = Fields(meta, "GGUF metadata")
        fields.refuse("llama.rope.scaling.type", "none")
        fields.refuse("llama.rope.scale_linear", 1.0)
        fields.refuse("llama.rope.scaling.factor", 1.0)
        fields.refuse("llama.expert_count", 0)
        fields.refuse("llama.attention.sliding_window", 0)
        dim = fields.count("llama.embedding_length")
        heads = fields.count("llama.attention.head_count")
        head_dim = fields.count("llama.attention.key_length", dim // heads)
        fields.refuse("llama.attention.value_length", head_dim)
        return _checked(
            Hyper(
                layers=fields.count("llama.block_count"),
                dim=dim,
                ffn_dim=fields.count("llama.feed_forward_length"),
                heads=heads,
                kv_heads=fields.count("llama.attention.head_count_kv", heads),
                head_dim=head_dim,
                vocab=fields.count("llama.vocab_size", fields.length("tokenizer.ggml.tokens")),
                context=fields.count("llama.context_length"),
                norm_eps=shortest_float32(fields.real("llama.attention.layer_norm_rms_epsilon")),
                rope_base=shortest_float32(fields.real("llama.rope.freq_base", 10000.0)),
                rope_dim=fields.count("llama.rope.dimension_count", head_dim),
                tied=tied,
            ),
            "GGUF metadata",
        )

    def hyper_to_gguf(self, h: Hyper) -> dict[str, Any]:
        sizes: dict[str, Any] = {
            "llama.block_count": h.layers,
            "llama.context_length": h.context,
            "llama.embedding_length": h.dim,
            "llama.feed_forward_length": h.ffn_dim,
            "llama.attention.head_count": h.heads,
            "llama.attention.head_count_kv": h.kv_heads,
            "llama.rope.freq_base": h.rope_base,
            "llama.attention.layer_norm_rms_epsilon": h.norm_eps,
            "llama.vocab_size": h.vocab,
            "llama.rope.dimension_count": h.rope_dim,
        }
        if h.head_dim != h.dim // h.heads:
            sizes["llama.attention.key_length"] = h.head_dim
            sizes["llama.attention.value_length"] = h.head_dim
        return sizes

    def tensors(self, h: Hyper) -> list[TensorName]:
        queries, keys = h.heads * h.head_dim, h.kv_heads * h.head_dim
        sizes = {
            "attn_norm": (1, h.dim),
            "q": (queries, h.dim),
            "k": (keys, h.dim),
            "v": (keys, h.dim),
            "o": (h.dim, queries),
            "ffn_norm": (1, h.dim),
            "gate": (h.ffn_dim, h.dim),
            "up": (h.ffn_dim, h.dim),
            "down": (h.dim, h.ffn_dim),
        }
        rotary = {"q": h.heads, "k": h.kv_heads}
        names = [TensorName("embed", "model.embed_tokens.weight", "token_embd.weight", h.vocab, h.dim)]
        for i in range(h.layers):
            for part, hf, gguf in _PARTS:
                names.append(
                    TensorName(
                        f"layers.{i}.{part}",
                        f"model.layers.{i}.{hf}.weight",
                        f"blk.{i}.{gguf}.weight",
                        *sizes[part],
                        rotary.get(part),
                    )
                )
        names.append(TensorName("final_norm", "model.norm.weight", "output_norm.weight", 1, h.dim))
        if not h.tied:
            names.append(TensorName("head", "lm_head.weight", "output.weight", h.vocab, h.dim))
        return names

    def graph(self, h: Hyper, g: GraphBuilder) -> None:
        x = g.embed("embed")
        table = g.rope_table([h.rope_base ** (-2 * i / h.rope_dim) for i in range(h.rope_dim // 2)])
        for i in range(h.layers):
            layer = f"layers.{i}"
            y = g.norm(x, f"{layer}.attn_norm", h.norm_eps)
            q, k, v = g.matmuls(y, f"{layer}.q", f"{layer}.k", f"{layer}.v")
            cache = g.cache(h.kv_heads, h.head_dim)
            g.kv_append(cache, g.rope(k, table, h.kv_heads), v)
            y = g.attention(cache, g.rope(q, table, h.heads), h.heads, h.head_dim**-0.5)
            x = g.matmul(y, f"{layer}.o", residual=x)
            y = g.norm(x, f"{layer}.ffn_norm", h.norm_eps)
            gate, up = g.matmuls(y, f"{layer}.gate", f"{layer}.up")
            x = g.matmul(g.gated(gate, up), f"{layer}.down", residual=x)
        g.logits(g.norm(x, "final_norm", h.norm_eps), "embed" if h.tied else "head")


def _rope_parameters(config: Mapping[str, Any]) -> Mapping[str, Any]:
    """The table that holds rope_theta: `rope_parameters` in newer configs, else the config itself."""
    for key in ("rope_scaling", "rope_parameters"):
        given = config.get(key)
        if given is None:
            continue
        if not isinstance(given, Mapping):
            raise FormatError(f"config.json: {key} is {given!r}; it must be a table or null")
        kind = given.get("rope_type", given.get("type", "default"))
        if kind != "default":
            raise UnsupportedError(
                f"config.json: {key} is of type {kind!r}, which is not supported; supported: 'default'"
            )
    newer = config.get("rope_parameters")
    return newer if newer and "rope_theta" in newer else config


def _checked(h: Hyper, where: str) -> Hyper:
    if h.heads % h.kv_heads:
        raise FormatError(f"{where}: {h.heads} attention heads can't share {h.kv_heads} key-value heads evenly")
    if h.head_dim % 2:
        raise FormatError(f"{where}: a head of {h.head_dim} values can't be rotated in pairs")
    if h.rope_dim != h.head_dim:
        raise UnsupportedError(
            f"{where}: rotation of {h.rope_dim} of a head's {h.head_dim} values is not supported, only of all"
        )
    return h


family = Llama()
