"""Dataclasses from JSON: of plain values, lists, dicts and further dataclasses."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import types
from contextlib import suppress
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints


def digest_of(value: Any) -> str:
    """SHA-256 of a JSON value."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def from_json(kind: Any, value: Any) -> Any:
    """A JSON value as `kind`. A key that a dataclass lacks is left out, one that is missing takes its default.

    Raises ValueError for a value of another kind."""
    if kind is Any or isinstance(kind, TypeVar):
        return value
    origin, arguments = get_origin(kind), get_args(kind)
    if origin in (Union, types.UnionType):
        for one in arguments:
            with suppress(ValueError):
                return from_json(one, value)
    elif dataclasses.is_dataclass(kind) and isinstance(value, dict):
        return _dataclass(kind, value)
    elif origin is list and isinstance(value, list):
        return [from_json(arguments[0], each) for each in value]
    elif origin is dict and isinstance(value, dict):
        return {key: from_json(arguments[1], each) for key, each in value.items()}
    elif origin is None and isinstance(value, bool):  # which Python takes for a number
        if kind is bool:
            return value
    elif origin is None and isinstance(value, (int, float) if kind is float else kind):
        return value
    raise ValueError(f"got {value!r:.50}, wanted {kind}")


def _dataclass(kind: Any, value: dict[str, Any]) -> Any:
    hints = get_type_hints(kind)
    names = [field.name for field in dataclasses.fields(kind) if field.name in value]
    try:
        return kind(**{name: from_json(hints[name], value[name]) for name in names})
    except TypeError as error:
        raise ValueError(str(error)) from None
