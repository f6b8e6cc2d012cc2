"""What GGUF keeps of each layer where these differ."""

from __future__ import annotations

import reprlib
from collections.abc import Mapping
from typing import Any

from tinsmith.errors import FormatError
from tinsmith.models.decoder import METADATA
from tinsmith.models.family import Fields


def kv_heads(meta: Mapping[str, Any], architecture: str) -> dict[str, Any]:
    """The metadata's number of key-value heads, which is one a layer, 0 where there is no attention, as one
    number; and under keys of our own how many `layers` that are, and which are `attention_layers`."""
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
