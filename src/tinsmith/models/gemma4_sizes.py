"""The sizes of gemma4, as configs and GGUF metadata say them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from tinsmith.errors import FormatError, UnsupportedError
from tinsmith.models.family import Fields
from tinsmith.models.two_rotations import TYPES
from tinsmith.spec import Hyper


@dataclass(frozen=True)
class Gemma4Hyper(Hyper):
    """windowed: which layers see the latest `window` positions only; their heads are head_dim wide, kv_heads of
    them for keys and values, and rotate by local_base. The others' are wide_head_dim wide, wide_kv_heads of
    them, and the first wide_rope_dim of their values rotate by rope_base; keys_as_values: there keys before
    norm and rotation are the values too. reusing: how many of the last layers read the keys and values of the
    last one of their kind before them; double_ffn: whether their feed-forward is twice as wide. layer_dim: of a
    token's embedding for a layer, 0 for none. logit_cap: c of c * tanh(x / c), 0 for none."""

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
        """Whether a layer has keys and values of its own."""
        return layer < self.layers - self.reusing

    def at(self, layer: int) -> Gemma4Hyper:
        """With the sizes of a layer."""
        sizes: dict[str, int] = {"ffn_dim": self.ffn_dim * (1 + (self.double_ffn and not self.own(layer)))}
        if not self.windowed[layer]:
            sizes |= {"head_dim": self.wide_head_dim, "kv_heads": self.wide_kv_heads}
        return replace(self, **sizes)  # type: ignore[arg-type]


def windowed_layers(fields: Fields) -> tuple[bool, ...]:
    given = fields.get("layer_types")
    if given is None:
        return tuple((i + 1) % 6 != 0 for i in range(fields.count("num_hidden_layers")))
    if not isinstance(given, list) or not all(kind in TYPES for kind in given):
        raise UnsupportedError(f"{fields.named('layer_types')}; supported: a list of {' and '.join(TYPES)}")
    return tuple(kind == TYPES[1] for kind in given)


def overridden(fields: Fields, windowed: tuple[bool, ...]) -> dict[str, Any]:
    """The sizes of wide heads where a config has them layer by layer, as newer transformers write it, by the
    keys of older ones."""
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
    """Of layers with a window, and of the others where the file has one number a layer: its wide heads then
    take keys for values."""
    given, windowed = fields.get("attention.head_count_kv"), fields.get("attention.sliding_window_pattern")
    if not isinstance(given, list):
        return given, None
    kinds: dict[bool, set[Any]] = {True: set(), False: set()}
    if not isinstance(windowed, list) or len(windowed) != len(given):
        raise FormatError(f"{fields.named('attention.head_count_kv')}; it must be one number a layer")
    for narrow, count in zip(windowed, given, strict=True):
        kinds[bool(narrow)].add(count if isinstance(count, int) and 0 < count < 1 << 31 else None)
    if any(len(counts) != 1 or None in counts for counts in kinds.values()):
        raise UnsupportedError(
            f"{fields.named('attention.head_count_kv')}; supported: one number for the layers with a window, "
            "and one for the others"
        )
    return kinds[True].pop(), kinds[False].pop()


def check_gguf(h: Gemma4Hyper) -> None:
    """GGUF's readers take the last layer before those that reuse keys for one without a window, and the one
    before that for one with a window."""
    before, reusing = h.windowed[: h.layers - h.reusing], h.windowed[h.layers - h.reusing :]
    if (False in reusing and before[-1]) or (True in reusing and not before[-2:][0]):
        raise UnsupportedError(
            f"gemma4: the last {h.reusing} layers read keys and values of layers before them; in GGUF those "
            "are a layer with a window, then one without"
        )


def doubled(fields: Fields, ffn: int, layers: int, reusing: int) -> bool:
    given = fields.get("feed_forward_lengths")
    if not isinstance(given, list) or given == [ffn] * layers:
        return False
    if given != [ffn] * (layers - reusing) + [2 * ffn] * reusing:
        raise UnsupportedError(
            f"{fields.named('feed_forward_length')}; supported: one width, and twice that in the layers that "
            "read earlier keys and values"
        )
    return True
