"""The vision transformer of Qwen3-VL and Qwen3.5 (Bai et al. 2025). Patches of two frames have learned
positions, resized to the image (bilinear), and rotary ones of row and column. Layers are pre-norm, with biases
everywhere and q, k and v in one matrix. A still image is two equal frames. Qwen3-VL's projector also takes the
states after some earlier layers (DeepStack: Meng et al., arXiv 2406.04334)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from tinsmith.fields import Fields
from tinsmith.layouts import joined, row_range, rows_in_order
from tinsmith.spec import EncoderSizes, Tensor
from tinsmith.tensor_names import TensorName
from tinsmith.vision.siglip import (
    DEEP,
    Siglip,
    by_channel,
    by_pixel,
    deep_flags,
    in_layers,
    layers,
    linear,
    norm,
)
from tinsmith.vision.siglip2 import square_side

if TYPE_CHECKING:
    from tinsmith.graph import GraphBuilder, Value

# Fixed in the model's code.
NORM_EPS = 1e-6
FRAMES = 2
ROPE_BASE = 10000.0
DEEP_HF = "deepstack_visual_indexes"


@dataclass(frozen=True)
class Qwen3VlSizes(EncoderSizes):
    """deep: the earlier layers whose states the projector takes, in order."""

    deep: tuple[int, ...] = ()


class Qwen3Vl(Siglip):
    name = "qwen3_vl"
    channels = "in_channels"
    sizes = Qwen3VlSizes
    counts = {
        "layers": "depth",
        "dim": "hidden_size",
        "ffn_dim": "intermediate_size",
        "heads": "num_heads",
        "patch": "patch_size",
    }
    defaults: Mapping[str, Any] = {
        "depth": 27,
        "hidden_act": "gelu_pytorch_tanh",
        "hidden_size": 1152,
        "intermediate_size": 4304,
        "num_heads": 16,
        "num_position_embeddings": 2304,
        "patch_size": 16,
    }

    def side_from_hf(self, fields: Fields) -> int:
        return square_side(fields, "num_position_embeddings")

    def side_to_hf(self, sizes: EncoderSizes) -> dict[str, Any]:
        return {"num_position_embeddings": sizes.side**2}

    def more_from_hf(self, fields: Fields) -> dict[str, Any]:
        fields.refuse("temporal_patch_size", FRAMES)
        return {"norm_eps": NORM_EPS, "deep": deep_layers(fields)}

    def more_to_hf(self, sizes: Qwen3VlSizes) -> dict[str, Any]:
        deep = {DEEP_HF: list(sizes.deep)} if sizes.deep else {}
        return {**deep, "temporal_patch_size": FRAMES}

    def tensors(self, sizes: EncoderSizes) -> list[TensorName]:
        """The first half of `patch`'s rows is for the first frame, the other for the second."""
        dim, p = sizes.dim, sizes.patch
        patch = TensorName("patch", "patch_embed.proj.weight", "v.patch_embd.weight", FRAMES * dim, 3 * p * p)
        return [
            replace(
                patch,
                hf_shape=(dim, 3, FRAMES, p, p),
                gguf_more=("v.patch_embd.weight.1",),
                gguf_dims=(p, p, 3, dim),
                from_hf=frames_apart,
                to_hf=frames_together,
            ),
            TensorName("patch_bias", "patch_embed.proj.bias", "v.patch_embd.bias", 1, dim),
            TensorName("positions", "pos_embed.weight", "v.position_embd.weight", sizes.side**2, dim),
            *in_layers(sizes.layers, "blocks", layer(sizes)),
        ]

    def graph(self, sizes: Any, g: GraphBuilder) -> list[Value]:
        patch, patches = g.graph.tensors["patch"], g.patches(3 * sizes.patch**2)
        x = None
        for frame in range(FRAMES):
            g.graph.tensors[f"patch.{frame}"] = by_pixel(row_range(patch, frame * sizes.dim, sizes.dim))
            x = g.matmul(patches, f"patch.{frame}", residual=x, bias=None if frame else "patch_bias")
        assert x is not None
        x = g.positions(x, "positions", "corners")
        for i in range(sizes.layers):
            split_qkv(g.graph.tensors, f"layers.{i}.", sizes.dim)
        # The first quarter of a head rotates by the patch's row, the second by its column; each value pairs
        # with the one half a head later.
        head_dim = sizes.dim // sizes.heads
        frequencies = [ROPE_BASE ** (-4 * i / head_dim) for i in range(head_dim // 4)]
        return layers(sizes, g, x, g.patch_rope_table(frequencies, frequencies), sizes.deep)

    def from_graph(self, sizes: EncoderSizes, tensors: dict[str, Tensor]) -> None:
        frames = [by_channel(tensors.pop(f"patch.{frame}")) for frame in range(FRAMES)]
        tensors["patch"] = joined(frames)
        for i in range(sizes.layers):
            for suffix in ("", "_bias"):
                parts = [tensors.pop(f"layers.{i}.{role}{suffix}") for role in "qkv"]
                tensors[f"layers.{i}.qkv{suffix}"] = joined(parts)

    def more_from_gguf(self, fields: Fields) -> dict[str, Any]:
        return {"deep": tuple(layer for layer, taken in enumerate(deep_flags(fields)) if taken)}

    def more_to_gguf(self, sizes: Qwen3VlSizes) -> dict[str, Any]:
        return {DEEP: [layer in sizes.deep for layer in range(sizes.layers)]} if sizes.deep else {}


def deep_layers(fields: Fields) -> tuple[int, ...]:
    what = "the encoder's layers"
    return tuple(fields.items(DEEP_HF, what, lambda one: type(one) is int and one >= 0, default=[]))


def split_qkv(tensors: dict[str, Tensor], at: str, dim: int) -> None:
    """Makes three tensors of qkv: the runtime multiplies by all at once, but keeps the products apart."""
    for suffix in ("", "_bias"):
        for n, role in enumerate("qkv"):
            tensors[f"{at}{role}{suffix}"] = row_range(tensors[f"{at}qkv{suffix}"], n * dim, dim)


def layer(sizes: EncoderSizes) -> list[TensorName]:
    """The rows of qkv are q's, k's, v's."""
    dim = sizes.dim
    names = norm("attn_norm", "norm1", "ln1", dim)
    names += linear("qkv", "attn.qkv", "attn_qkv", 3 * dim, dim)
    names += linear("o", "attn.proj", "attn_out", dim, dim)
    names += norm("ffn_norm", "norm2", "ln2", dim)
    names += linear("up", "mlp.linear_fc1", "ffn_up", sizes.ffn_dim, dim)
    return names + linear("down", "mlp.linear_fc2", "ffn_down", dim, sizes.ffn_dim)


def frames_apart(tensor: Tensor) -> Tensor:
    """From (dim, channel, frame, pixels) to (frame, dim, channel, pixels)."""
    pairs = tensor.rows // FRAMES * 3
    return _in_order(tensor, [pair * FRAMES + frame for frame in range(FRAMES) for pair in range(pairs)])


def frames_together(tensor: Tensor) -> Tensor:
    """The inverse of frames_apart."""
    pairs = tensor.rows // FRAMES * 3
    return _in_order(tensor, [frame * pairs + pair for pair in range(pairs) for frame in range(FRAMES)])


def _in_order(tensor: Tensor, order: list[int]) -> Tensor:
    """The tensor's len(order) equal runs, reordered: the i-th is its order[i]."""
    flat = replace(tensor, rows=len(order), inputs=tensor.rows * tensor.inputs // len(order))
    return replace(tensor, data=rows_in_order(flat, order).data)


encoder = Qwen3Vl()
