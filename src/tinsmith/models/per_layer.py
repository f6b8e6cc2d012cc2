"""Settings that differ by layer."""

from __future__ import annotations

import reprlib
from collections.abc import Mapping, Sequence
from typing import Any

from tinsmith.errors import FormatError
from tinsmith.models.decoder import METADATA
from tinsmith.models.family import Fields


def kv_heads(meta: Mapping[str, Any], architecture: str) -> dict[str, Any]:
    """Metadata that list the key-value heads of each layer, 0 for a layer without attention, as one number;
    also `layers`, their count, and `attention_layers`, the indices of those with attention."""
    key = f"{architecture}.attention.head_count_kv"
    given = meta.get(key)
    heads: list[int] = given if isinstance(given, list) else []
    if not all(type(one) is int and 0 <= one < 1 << 31 for one in heads) or len({0, *heads}) != 2:
        raise FormatError(
            f"{METADATA}: {key} is {reprlib.repr(given)}; it must be a list of whole "
            "numbers, 0 for a layer without attention and the same for all others"
        )
    layers = [i for i, count in enumerate(heads) if count]
    return {key: max(heads), f"{architecture}.layers": len(heads), f"{architecture}.attention_layers": layers}


def window_pattern(fields: Fields, layers: int) -> tuple[bool, ...]:
    given = fields.get("attention.sliding_window_pattern")
    if not isinstance(given, list) or len(given) != layers or not all(one in (0, 1) for one in given):
        raise FormatError(f"{fields.named('attention.sliding_window_pattern')}; it must be {layers} booleans")
    return tuple(bool(one) for one in given)


def layer_types(fields: Fields, known: Sequence[str]) -> list[str]:
    """A config's type of each layer, one of `known`."""
    types, layers = fields.get("layer_types"), fields.count("num_hidden_layers")
    if not isinstance(types, list) or len(types) != layers or not all(one in known for one in types):
        raise FormatError(f"{fields.named('layer_types')}; it must be a list of {layers} of {', '.join(known)}")
    return types
