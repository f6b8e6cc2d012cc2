"""JSON as answers are read and compared."""

from __future__ import annotations

from typing import Any

from tinsmith.errors import InputError
from tinsmith.system import reading


def parse_json(text: str) -> Any:
    """The value of strict JSON (RFC 8259); None if a key repeats, for NaN and Infinity, and for more text."""
    try:
        return reading.json(text.strip(), "the answer", unique=True)
    except InputError:
        return None


def json_equal(a: Any, b: Any) -> bool:
    """Equality of JSON values: 40 equals 40.0, true does not equal 1, the order of keys does not count."""
    if isinstance(a, bool) or isinstance(b, bool):
        return a is b
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(json_equal(v, b[k]) for k, v in a.items())
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(json_equal(x, y) for x, y in zip(a, b, strict=True))
    return bool(a == b)
