"""The falcon_h1 family: attention and Mamba-2's selective state update side by side in every layer.

Reading a folder folds its multipliers into the weights, as in GGUF, which has none. The model that is trained,
merged and written computes the same function with multipliers of 1.

Zuo et al., "Falcon-H1: A Family of Hybrid-Head Language Models Redefining Efficiency and Performance", 2025.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from tinsmith import _core
from tinsmith.errors import FormatError
from tinsmith.formats.safetensors import Tensor as Stored
from tinsmith.graph import GraphBuilder, Value
from tinsmith.models import decoder, mamba2
from tinsmith.models.family import Family, Fields, StandIn, TensorName
from tinsmith.spec import Buffer

_EMBED, _HEAD = "model.embed_tokens.weight", "lm_head.weight"
# Key of each multiplier → how many numbers it has.
_MULTIPLIERS = {
    "attention_in_multiplier": 1,
    "attention_out_multiplier": 1,
    "embedding_multiplier": 1,
    "key_multiplier": 1,
    "lm_head_multiplier": 1,
    "mlp_multipliers": 2,
    "ssm_in_multiplier": 1,
    "ssm_multipliers": 5,
    "ssm_out_multiplier": 1,
}


class FalconH1(Family):
    name = "falcon_h1"
    hf_architectures = ("FalconH1ForCausalLM",)
    gguf_architecture = "falcon-h1"
    hyper = mamba2.Mamba2Hyper
    keys = mamba2.KEYS
    defaults = {
        "max_position_embeddings": 8192,
        "mamba_d_ssm": 1024,
        "num_key_value_heads": 8,
        "rms_norm_eps": 1e-5,
        **mamba2.DEFAULTS,
    }
    only = {
        **Family.only,
        "mlp_bias": (False,),
        "projectors_bias": (False,),
        "mamba_rms_norm": (False,),
        **mamba2.ONLY,
    }
    only_gguf = {"rope.scaling.type": ("none",)}
    keeps_head_dim = True

    def stand_in(self, config: Mapping[str, Any]) -> StandIn | None:
        given = _multipliers(config)
        if all(one == 1 for numbers in given.values() for one in numbers):
            return None
        fields = Fields({**self.defaults, **config}, decoder.CONFIG)
        width, states = _width(fields), fields.count("mamba_d_state") * fields.count("mamba_n_groups")
        tied = bool(config.get("tie_word_embeddings", False))
        # A tied model with two different multipliers needs a separate head.
        tied = tied and given["embedding_multiplier"] == given["lm_head_multiplier"]
        plain = {key: [1.0] * count if count > 1 else 1.0 for key, count in _MULTIPLIERS.items()}

        def changed(stored: Mapping[str, Stored]) -> dict[str, Stored]:
            tensors = dict(stored)
            if not tied:
                tensors.setdefault(_HEAD, tensors[_EMBED])
            rows = (width, width, states, states, fields.count("mamba_n_heads"))
            return {name: _scaled(name, tensor, given, rows) for name, tensor in tensors.items()}

        note = "multipliers are folded into the weights; adapters trained elsewhere do not fit them"
        return StandIn(self, {**config, **plain, "tie_word_embeddings": tied}, changed, (note,))

    def more_from_hf(self, fields: Fields, rope: Fields) -> dict[str, Any]:
        for key, count in _MULTIPLIERS.items():
            fields.refuse(key, [1.0] * count if count > 1 else 1.0)
        return {"state_head_dim": mamba2.head_dim_from_hf(fields, _width(fields))}

    def more_to_hf(self, h: mamba2.Mamba2Hyper) -> dict[str, Any]:
        return {"mamba_d_ssm": mamba2.inner(h), "mamba_d_head": h.state_head_dim}

    def more_from_gguf(self, fields: Fields, h: dict[str, Any]) -> dict[str, Any]:
        return {"state_head_dim": mamba2.head_dim_from_gguf(fields)}

    def more_to_gguf(self, h: mamba2.Mamba2Hyper) -> dict[str, Any]:
        return {"vocab_size": h.vocab, **mamba2.hyper_to_gguf(h)}

    def layer(self, h: mamba2.Mamba2Hyper, i: int) -> list[TensorName]:
        attn_norm, ffn_norm = decoder.two_norms(h)
        parts = self.feed_forward(h, i)
        return [
            attn_norm,
            *decoder.attention(h),
            *mamba2.tensors(h, "state_o"),
            replace(ffn_norm, hf="pre_ff_layernorm.weight", gguf="ffn_norm"),
            *(replace(part, hf=part.hf.replace("mlp.", "feed_forward.")) for part in parts),
        ]

    def final_norm(self, h: mamba2.Mamba2Hyper) -> TensorName:
        return replace(super().final_norm(h), hf="model.final_layernorm.weight")

    def check(self, h: mamba2.Mamba2Hyper, where: str) -> None:
        super().check(h, where)
        mamba2.check(h, where)

    def block(self, h: mamba2.Mamba2Hyper, g: GraphBuilder, i: int, x: Value, table: Value) -> Value:
        layer = f"layers.{i}"
        y = g.norm(x, f"{layer}.attn_norm", h.norm_eps)
        x = g.matmul(mamba2.mixed(h, g, layer, y), f"{layer}.state_o", residual=x)
        return self.feed(h, g, layer, self.add(h, g, f"{layer}.o", self.mix(h, g, i, y, table), x))


def _width(fields: Fields) -> int:
    """Width of Mamba-2's x."""
    if fields.get("mamba_d_ssm") is None:
        return fields.count("mamba_expand") * fields.count("hidden_size")
    return fields.count("mamba_d_ssm")


def _multipliers(config: Mapping[str, Any]) -> dict[str, list[float]]:
    given = {}
    for key, count in _MULTIPLIERS.items():
        value = config.get(key)
        numbers = value if isinstance(value, list) else [1.0 if value is None else value] * count
        if len(numbers) != count or not all(type(one) in (int, float) for one in numbers):
            raise FormatError(f"{decoder.CONFIG}: {key} is {value!r}; it must be {count} numbers")
        given[key] = [float(one) for one in numbers]
    return given


def _factors(name: str, given: Mapping[str, list[float]], rows: tuple[int, ...]) -> list[tuple[int, float]]:
    """Runs of a tensor's rows and the factor of each; empty if no factor applies. rows: of the parts of
    Mamba-2's first projection."""
    one = {key: numbers[0] for key, numbers in given.items()}
    before, after = one["attention_in_multiplier"], one["attention_out_multiplier"]
    whole = {
        _EMBED: one["embedding_multiplier"],
        _HEAD: one["lm_head_multiplier"],
        "q_proj": before,
        "k_proj": before * one["key_multiplier"],
        "v_proj": before,
        "o_proj": after,
        "out_proj": one["ssm_out_multiplier"],
        "gate_proj": given["mlp_multipliers"][0],
        "down_proj": given["mlp_multipliers"][1],
    }
    part = name if name in whole else name.removesuffix(".weight").rpartition(".")[2]
    if part == "in_proj":
        parts = zip(rows, given["ssm_multipliers"], strict=True)
        return [(count, one["ssm_in_multiplier"] * factor) for count, factor in parts]
    return [(0, whole[part])] if whole.get(part, 1.0) != 1 else []


def _scaled(name: str, tensor: Stored, given: Mapping[str, list[float]], rows: tuple[int, ...]) -> Stored:
    runs = _factors(name, given, rows)
    if not runs or len(tensor.shape) != 2 or tensor.dtype not in ("F32", "F16", "BF16"):
        return tensor
    if len(runs) > 1 and sum(rows) != tensor.shape[0]:
        return tensor  # read_tensor reports the wrong shape
    assert isinstance(tensor.data, Buffer)
    count, inputs = tensor.shape
    floats = memoryview(_core.dequantize(tensor.dtype, tensor.data, count, inputs)).cast("B").cast("f")
    factors = [factor for run, factor in runs for _ in range(run or count)]
    return Stored("F32", tensor.shape, b"".join(_products(floats, inputs, factors)))


def _products(floats: memoryview[float], inputs: int, factors: list[float]) -> Iterator[bytes]:
    """One row at a time."""
    form = struct.Struct(f"<{inputs}f")
    for row, factor in enumerate(factors):
        yield form.pack(*[factor * one for one in floats[row * inputs : (row + 1) * inputs]])


family = FalconH1()
