"""SigLIP's vision transformer (Zhai et al. 2023): patches with learned positions, layers with the norm first,
biases everywhere, no class token."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, ClassVar

from tinsmith.errors import FormatError
from tinsmith.fields import Fields
from tinsmith.spec import TowerSizes
from tinsmith.tensor_names import TensorName
from tinsmith.vision.parts import Tower

CONFIG = "config.json: vision_config"
ACTS = {"gelu_pytorch_tanh": "gelu_tanh", "gelu": "gelu"}
# (role, in a folder, in GGUF) of a layer's matrices: each has a bias.
_ATTENTION = (
    ("q", "self_attn.q_proj", "attn_q"),
    ("k", "self_attn.k_proj", "attn_k"),
    ("v", "self_attn.v_proj", "attn_v"),
    ("o", "self_attn.out_proj", "attn_out"),
)


class Siglip(Tower):
    name: ClassVar[str] = "siglip"
    model_type: ClassVar[str] = "siglip_vision_model"
    defaults: ClassVar[Mapping[str, Any]] = {
        "hidden_size": 768,
        "intermediate_size": 3072,
        "num_hidden_layers": 12,
        "num_attention_heads": 12,
        "image_size": 224,
        "patch_size": 16,
        "layer_norm_eps": 1e-6,
        "hidden_act": "gelu_pytorch_tanh",
    }

    def from_hf(self, config: Mapping[str, Any]) -> TowerSizes:
        fields = Fields({**self.defaults, **config}, CONFIG, "")
        fields.refuse("num_channels", 3)
        fields.refuse("hidden_act", *ACTS)
        patch = fields.count("patch_size")
        return checked(
            self.sizes(
                layers=fields.count("num_hidden_layers"),
                dim=fields.count("hidden_size"),
                ffn_dim=fields.count("intermediate_size"),
                heads=fields.count("num_attention_heads"),
                patch=patch,
                side=self.side_from_hf(fields, patch),
                norm_eps=fields.real("layer_norm_eps"),
                act=ACTS[fields.get("hidden_act")],
            )
        )

    def side_from_hf(self, fields: Fields, patch: int) -> int:
        return fields.count("image_size") // patch

    def side_to_hf(self, sizes: TowerSizes) -> dict[str, Any]:
        return {"image_size": sizes.side * sizes.patch}

    def to_hf(self, sizes: TowerSizes) -> dict[str, Any]:
        return self.side_to_hf(sizes) | {
            "hidden_act": next(name for name, act in ACTS.items() if act == sizes.act),
            "hidden_size": sizes.dim,
            "vision_use_head": False,
            "intermediate_size": sizes.ffn_dim,
            "layer_norm_eps": sizes.norm_eps,
            "num_attention_heads": sizes.heads,
            "num_channels": 3,
            "num_hidden_layers": sizes.layers,
            "patch_size": sizes.patch,
        }

    def patch(self, sizes: TowerSizes) -> TensorName:
        """Inputs are one channel after the other, of each the rows from the top."""
        dim, p = sizes.dim, sizes.patch
        name = TensorName("patch", "embeddings.patch_embedding.weight", "v.patch_embd.weight", dim, 3 * p * p)
        return replace(name, hf_shape=(dim, 3, p, p), gguf_dims=(p, p, 3, dim))

    def tensors(self, sizes: TowerSizes) -> list[TensorName]:
        dim = sizes.dim
        positions = ("embeddings.position_embedding.weight", "v.position_embd.weight")
        names = [
            self.patch(sizes),
            TensorName("patch_bias", "embeddings.patch_embedding.bias", "v.patch_embd.bias", 1, dim),
            TensorName("positions", *positions, sizes.side**2, dim),
        ]
        for i in range(sizes.layers):
            for name in layer(sizes):
                hf, gguf = f"encoder.layers.{i}.{name.hf}", f"v.blk.{i}.{name.gguf}"
                names.append(replace(name, role=f"layers.{i}.{name.role}", hf=hf, gguf=gguf))
        return [*names, *norm("post_norm", "post_layernorm", "v.post_ln", dim)]


def layer(sizes: TowerSizes) -> list[TensorName]:
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


def checked(sizes: TowerSizes) -> TowerSizes:
    if sizes.dim % sizes.heads:
        raise FormatError(f"{CONFIG}: hidden_size {sizes.dim} is not a multiple of {sizes.heads} heads")
    if not sizes.side:
        raise FormatError(f"{CONFIG}: image_size is below patch_size {sizes.patch}; it must hold a patch")
    return sizes


tower = Siglip()
