"""SigLIP's vision transformer (Zhai et al. 2023), from which the other encoders differ in parts: learned
positions, pre-norm layers, biases everywhere, no class token."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

from tinsmith.errors import UnsupportedError
from tinsmith.fields import Fields
from tinsmith.layouts import columns_in_order
from tinsmith.spec import EncoderSizes, Tensor
from tinsmith.tensor_names import TensorName

if TYPE_CHECKING:
    from tinsmith.graph import GraphBuilder, Value

CONFIG = "config.json: vision_config"
DEEP = "is_deepstack_layers"  # clip's flag a layer: the projector takes its states
ACTS = {"gelu_pytorch_tanh": "gelu_tanh", "gelu": "gelu"}
GRAPH_ACTS = {"gelu_tanh": "gelu", "gelu": "gelu_erf"}  # names in graph.ACTIVATIONS
# (role, Hugging Face name, GGUF name) of a layer's attention matrices; each has a bias.
_ATTENTION = (
    ("q", "self_attn.q_proj", "attn_q"),
    ("k", "self_attn.k_proj", "attn_k"),
    ("v", "self_attn.v_proj", "attn_v"),
    ("o", "self_attn.out_proj", "attn_out"),
)


class Siglip:
    """grid: how the position table is resized, of graph.GRIDS. counts: the config's keys by field of
    EncoderSizes. Hugging Face names of tensors are relative to the checkpoint's encoder. Readers raise
    FormatError for missing or invalid values, UnsupportedError for values that the graph does not implement."""

    name = "siglip"
    sizes: ClassVar[type[EncoderSizes]] = EncoderSizes
    grid = "nearest"
    channels = "num_channels"
    counts: ClassVar[Mapping[str, str]] = {
        "layers": "num_hidden_layers",
        "dim": "hidden_size",
        "ffn_dim": "intermediate_size",
        "heads": "num_attention_heads",
        "patch": "patch_size",
    }
    defaults: Mapping[str, Any] = {
        "hidden_size": 768,
        "intermediate_size": 3072,
        "num_hidden_layers": 12,
        "num_attention_heads": 12,
        "image_size": 224,
        "patch_size": 16,
        "layer_norm_eps": 1e-6,
        "hidden_act": "gelu_pytorch_tanh",
    }

    def from_hf(self, config: Mapping[str, Any]) -> EncoderSizes:
        """From a config's vision_config."""
        fields = Fields({**self.defaults, **config}, CONFIG)
        fields.refuse(self.channels, 3)
        fields.refuse("hidden_act", *ACTS)
        return self.sizes(
            **{field: fields.count(key) for field, key in self.counts.items()},
            **self.more_from_hf(fields),
            side=self.side_from_hf(fields),
            act=ACTS[fields.get("hidden_act")],
        )

    def more_from_hf(self, fields: Fields) -> dict[str, Any]:
        return {"norm_eps": fields.real("layer_norm_eps")}

    def more_to_hf(self, sizes: Any) -> dict[str, Any]:
        return {"layer_norm_eps": sizes.norm_eps, "vision_use_head": False}

    def side_from_hf(self, fields: Fields) -> int:
        return fields.count("image_size") // fields.count("patch_size")

    def side_to_hf(self, sizes: EncoderSizes) -> dict[str, Any]:
        return {"image_size": sizes.side * sizes.patch}

    def to_hf(self, sizes: EncoderSizes) -> dict[str, Any]:
        """The vision_config but for its model_type."""
        return {
            **self.side_to_hf(sizes),
            **self.more_to_hf(sizes),
            **{key: getattr(sizes, field) for field, key in self.counts.items()},
            "hidden_act": next(name for name, act in ACTS.items() if act == sizes.act),
            self.channels: 3,
        }

    def patch(self, sizes: EncoderSizes) -> TensorName:
        """Inputs are [channel][row][column]."""
        dim, p = sizes.dim, sizes.patch
        name = TensorName("patch", "embeddings.patch_embedding.weight", "v.patch_embd.weight", dim, 3 * p * p)
        return replace(name, hf_shape=(dim, 3, p, p), gguf_dims=(p, p, 3, dim))

    def tensors(self, sizes: EncoderSizes) -> list[TensorName]:
        """Every tensor at this size, in the order a file has them."""
        dim = sizes.dim
        positions = ("embeddings.position_embedding.weight", "v.position_embd.weight")
        return [
            self.patch(sizes),
            TensorName("patch_bias", "embeddings.patch_embedding.bias", "v.patch_embd.bias", 1, dim),
            TensorName("positions", *positions, sizes.side**2, dim),
            *in_layers(sizes.layers, "encoder.layers", layer(sizes)),
            *norm("post_norm", "post_layernorm", "v.post_ln", dim),
        ]

    def graph(self, sizes: Any, g: GraphBuilder) -> list[Value]:
        """The states of an image's patches, then those after the earlier layers that its projector takes."""
        g.graph.tensors["patch"] = by_pixel(g.graph.tensors["patch"])
        x = g.matmul(g.patches(3 * sizes.patch**2), "patch", bias="patch_bias")
        (x,) = layers(sizes, g, g.positions(x, "positions", self.grid))
        return [g.layer_norm(x, "post_norm", "post_norm_bias", sizes.norm_eps)]

    def from_graph(self, sizes: EncoderSizes, tensors: dict[str, Tensor]) -> None:
        """Restores the tensors that the graph replaced."""
        tensors["patch"] = by_channel(tensors["patch"])

    def more_from_gguf(self, fields: Fields) -> dict[str, Any]:
        """More fields of `sizes`, from metadata without the prefix clip.vision."""
        if any(deep_flags(fields)):
            raise UnsupportedError(f"{fields.named(DEEP)}; encoder {self.name} has no such layers")
        return {}

    def more_to_gguf(self, sizes: Any) -> dict[str, Any]:
        """The inverse of more_from_gguf."""
        return {}


def deep_flags(fields: Fields) -> list[bool]:
    return fields.items(DEEP, "true and false", lambda one: isinstance(one, bool), default=[])


def in_layers(count: int, hf: str, layer: Sequence[TensorName]) -> Iterator[TensorName]:
    """The tensors of every layer, from those of one. hf: the checkpoint's name of the list of layers."""
    for i in range(count):
        for name in layer:
            yield replace(
                name, role=f"layers.{i}.{name.role}", hf=f"{hf}.{i}.{name.hf}", gguf=f"v.blk.{i}.{name.gguf}"
            )


def by_pixel(weight: Tensor) -> Tensor:
    """From a convolution's inputs, channel by channel, to the runtime's, pixel by pixel."""
    area = weight.inputs // 3
    return columns_in_order(weight, [i % 3 * area + i // 3 for i in range(weight.inputs)], 1)


def by_channel(weight: Tensor) -> Tensor:
    """The inverse of by_pixel."""
    area = weight.inputs // 3
    return columns_in_order(weight, [i % area * 3 + i // area for i in range(weight.inputs)], 1)


def layers(
    sizes: EncoderSizes, g: GraphBuilder, x: Value, table: Value | None = None, early: Sequence[int] = ()
) -> list[Value]:
    """The states after the last layer, then those after the `early` ones. Layers are pre-norm, with attention
    between all patches. table: rotates queries and keys."""
    states = []
    heads, head_dim, eps = sizes.heads, sizes.dim // sizes.heads, sizes.norm_eps
    cache = g.cache(heads, head_dim)  # used by the layers in turn
    for i in range(sizes.layers):
        at = f"layers.{i}."
        h = g.layer_norm(x, f"{at}attn_norm", f"{at}attn_norm_bias", eps)
        roles = [f"{at}{role}" for role in "qkv"]
        q, k, v = g.matmuls(h, *roles, biases=[f"{role}_bias" for role in roles])
        if table is not None:
            q, k = g.rope(q, table, heads), g.rope(k, table, heads)
        g.kv_append(cache, k, v)
        h = g.attention(cache, q, heads, head_dim**-0.5, images=True)
        x = g.matmul(h, f"{at}o", residual=x, bias=f"{at}o_bias")
        h = g.layer_norm(x, f"{at}ffn_norm", f"{at}ffn_norm_bias", eps)
        h = g.act(g.matmul(h, f"{at}up", bias=f"{at}up_bias"), GRAPH_ACTS[sizes.act])
        x = g.matmul(h, f"{at}down", residual=x, bias=f"{at}down_bias")
        if i in early:
            states.append(x)
    return [x, *states]


def layer(sizes: EncoderSizes) -> list[TensorName]:
    dim = sizes.dim
    names = norm("attn_norm", "layer_norm1", "ln1", dim)
    for role, hf, gguf in _ATTENTION:
        names += linear(role, hf, gguf, dim, dim)
    names += norm("ffn_norm", "layer_norm2", "ln2", dim)
    names += linear("up", "mlp.fc1", "ffn_up", sizes.ffn_dim, dim)
    return names + linear("down", "mlp.fc2", "ffn_down", dim, sizes.ffn_dim)


def linear(role: str, hf: str, gguf: str, rows: int, inputs: int) -> list[TensorName]:
    """A matrix and its bias."""
    weight = TensorName(role, f"{hf}.weight", f"{gguf}.weight", rows, inputs)
    return [weight, TensorName(f"{role}_bias", f"{hf}.bias", f"{gguf}.bias", 1, rows)]


def norm(role: str, hf: str, gguf: str, dim: int) -> list[TensorName]:
    """A layer norm's weight and bias."""
    weight = TensorName(role, f"{hf}.weight", f"{gguf}.weight", 1, dim)
    return [weight, TensorName(f"{role}_bias", f"{hf}.bias", f"{gguf}.bias", 1, dim)]


encoder = Siglip()
