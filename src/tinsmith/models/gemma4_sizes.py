"""gemma4's sizes in configs and in GGUF metadata."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from tinsmith.errors import FormatError, UnsupportedError
from tinsmith.fields import is_whole
from tinsmith.models.decoder import layer_types, window_pattern
from tinsmith.models.family import Fields
from tinsmith.models.two_rotations import SLIDING, TYPES
from tinsmith.spec import Hyper


@dataclass(frozen=True)
class Gemma4Hyper(Hyper):
    """windowed: the layers that attend to the latest `window` positions, with kv_heads heads of head_dim values
    and RoPE base local_base. The others have wide_kv_heads heads of wide_head_dim values, of which rope_base
    rotates the first wide_rope_dim; keys_as_values: they use keys before norm and RoPE as values. reusing:
    number of last layers that reuse keys and values of the last earlier layer of their kind; double_ffn: their
    feed-forward is twice as wide. layer_dim: width of a per-layer token embedding, 0 for none. logit_cap: c in
    c * tanh(x / c), 0 for none."""

    window: int
    windowed: tuple[bool, ...]
    local_base: float
    wide_head_dim: int
    wide_kv_heads: int
    wide_rope_dim: int
    keys_as_values: bool
    reusing: int
    double_ffn: bool
    layer_dim: int
    logit_cap: float

    def own(self, layer: int) -> bool:
        """Whether a layer computes keys and values."""
        return layer < self.layers - self.reusing

    def at(self, layer: int) -> Gemma4Hyper:
        """The hyper-parameters with a layer's sizes."""
        sizes: dict[str, int] = {"ffn_dim": self.ffn_dim * (1 + (self.double_ffn and not self.own(layer)))}
        if not self.windowed[layer]:
            sizes |= {"head_dim": self.wide_head_dim, "kv_heads": self.wide_kv_heads}
        return replace(self, **sizes)  # type: ignore[arg-type]


def windowed_layers(fields: Fields) -> tuple[bool, ...]:
    if fields.get("layer_types") is None:
        return tuple((i + 1) % 6 != 0 for i in range(fields.count("num_hidden_layers")))
    return tuple(kind == SLIDING for kind in layer_types(fields, TYPES))


def overridden(fields: Fields, windowed: tuple[bool, ...]) -> dict[str, Any]:
    """Sizes of wide heads from per_layer_config of newer transformers, by the keys of older ones."""
    given = fields.get("per_layer_config")
    if given is None:
        return {}
    wide = [str(i) for i, narrow in enumerate(windowed) if not narrow]
    tables = [given.get(i) for i in wide] if isinstance(given, Mapping) else []
    names = {"head_dim": "global_head_dim", "num_key_value_heads": "num_global_key_value_heads"}
    first = tables[0] if tables else None
    same = isinstance(first, Mapping) and all(one == first for one in tables) and len(given) == len(wide)
    if not isinstance(first, Mapping) or not same or set(first) - set(names):
        raise UnsupportedError(
            f"{fields.named('per_layer_config')}; supported: head_dim and num_key_value_heads, alike in each "
            "layer of full_attention"
        )
    return {names[key]: one for key, one in first.items()}


def reusing_layers(fields: Fields, key: str, layers: int) -> int:
    reusing = fields.count_or_0(key)
    if reusing >= layers:
        raise FormatError(f"{fields.named(key)}; at most {layers - 1} of {layers} layers can reuse keys")
    return reusing


def first_of(fields: Fields, key: str) -> Any:
    given = fields.get(key)
    return given[0] if isinstance(given, list) and given else given


def kv_heads_of(fields: Fields) -> tuple[Any, int | None]:
    """Key-value heads of layers with a window, and of the others if the file lists one number per layer; their
    keys then are their values."""
    key = "attention.head_count_kv"
    given = fields.get(key)
    if not isinstance(given, list):
        return given, None
    windowed = window_pattern(fields, len(given))
    counts = fields.items(key, "whole numbers", lambda one: is_whole(one) and 0 < one < 1 << 31)
    kinds = dict(zip(windowed, counts, strict=True))
    if len(kinds) != 2 or counts != [kinds[narrow] for narrow in windowed]:
        raise UnsupportedError(f"{fields.named(key)}; supported: one number with a window, and one without")
    return kinds[True], kinds[False]


def check_gguf(h: Gemma4Hyper) -> None:
    """GGUF readers assume that of the last two layers before the reusing ones, the first has a window and the
    second has none."""
    before, reusing = h.windowed[: h.layers - h.reusing], h.windowed[h.layers - h.reusing :]
    if (False in reusing and before[-1]) or (True in reusing and not before[-2:][0]):
        raise UnsupportedError(
            f"gemma4: the last {h.reusing} layers reuse keys and values; GGUF needs a layer with a window, "
            "then one without, before them"
        )


def doubled(fields: Fields, ffn: int, layers: int, reusing: int) -> bool:
    given = fields.get("feed_forward_lengths")
    if not isinstance(given, list) or given == [ffn] * layers:
        return False
    if given != [ffn] * (layers - reusing) + [2 * ffn] * reusing:
        raise UnsupportedError(
            f"{fields.named('feed_forward_length')}; supported: one width, doubled in layers that reuse keys "
            "and values"
        )
    return True
