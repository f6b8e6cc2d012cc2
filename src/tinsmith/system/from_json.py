"""Dataclasses from JSON: of plain values, lists, dicts and further dataclasses."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import types
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints


def digest_of(value: Any) -> str:
    """SHA-256 of a JSON value."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def from_json(kind: Any, value: Any) -> Any:
    """A JSON value as `kind`. A key that a dataclass lacks is left out, one that is missing takes its default.

    Raises ValueError for a value of another kind."""
    if kind is Any or isinstance(kind, TypeVar):
        return value
    if dataclasses.is_dataclass(kind):
        return _dataclass(kind, value)
    origin, arguments = get_origin(kind), get_args(kind)
    if origin in (Union, types.UnionType):
        return _one_of(arguments, value)
    if origin is list and isinstance(value, list):
        return [from_json(arguments[0], each) for each in value]
    if origin is dict and isinstance(value, dict):
        return {key: from_json(arguments[1], each) for key, each in value.items()}
    if origin is None and _is(kind, value):
        return value
    raise ValueError(f"got {value!r:.50}, wanted {kind}")


def _is(kind: type, value: Any) -> bool:
    """JSON writes a float without a fraction as Python does, but other programs may not; true is no number."""
    if isinstance(value, bool):
        return kind is bool
    return isinstance(value, (int, float) if kind is float else kind)


def _dataclass(kind: Any, value: Any) -> Any:
    if not isinstance(value, dict):
        raise ValueError(f"got {value!r:.50}, wanted an object")
    hints = get_type_hints(kind)
    names = [field.name for field in dataclasses.fields(kind) if field.name in value]
    try:
        return kind(**{name: from_json(hints[name], value[name]) for name in names})
    except TypeError as error:
        raise ValueError(str(error)) from None


def _one_of(kinds: tuple[Any, ...], value: Any) -> Any:
    for kind in kinds:
        try:
            return from_json(kind, value)
        except ValueError:
            continue
    raise ValueError(f"got {value!r:.50}, wanted one of {kinds}")
