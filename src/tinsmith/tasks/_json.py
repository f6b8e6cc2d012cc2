"""JSON as answers are read and compared."""

from __future__ import annotations

from typing import Any

from tinsmith.errors import InputError
from tinsmith.system import reading


def parse_json(text: str) -> Any:
    """Strict JSON (RFC 8259): ValueError on a repeated key, NaN, Infinity, or anything after the value."""
    try:
        return reading.json(text, "the answer", unique=True)
    except InputError as error:
        raise ValueError(str(error)) from None


def parse_object(text: str) -> dict[str, Any] | None:
    """None for a text that is not a JSON object."""
    try:
        value = parse_json(text.strip())
    except ValueError:
        return None
    return value if isinstance(value, dict) else None


def json_equal(a: Any, b: Any) -> bool:
    """Equality of JSON values: 40 equals 40.0, true does not equal 1, the order of keys does not count."""
    if isinstance(a, bool) or isinstance(b, bool):
        return a is b
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(json_equal(v, b[k]) for k, v in a.items())
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(json_equal(x, y) for x, y in zip(a, b, strict=True))
    return bool(a == b)
