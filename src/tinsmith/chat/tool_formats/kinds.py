"""The JSON types that a schema accepts, for formats that write texts without quotes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

ALL = frozenset(("null", "boolean", "integer", "number", "string", "array", "object"))
_DEEPEST = 64


def kinds(schema: Any, root: Any, depth: int = 0) -> frozenset[str]:
    """A superset of the types of the values that the schema accepts; "number" implies "integer"."""
    if not isinstance(schema, Mapping) or depth > _DEEPEST:
        return frozenset() if schema is False else ALL
    types = ALL
    if "type" in schema:
        named = schema["type"]
        types &= frozenset([named] if isinstance(named, str) else named)
        if "number" in types:
            types |= {"integer"}
    if "const" in schema:
        types &= {kind(schema["const"])}
    if isinstance(schema.get("enum"), list):
        types &= {kind(value) for value in schema["enum"]}
    if isinstance(schema.get("$ref"), str):
        types &= kinds(referred(schema["$ref"], root), root, depth + 1)
    for part in schema.get("allOf", ()):
        types &= kinds(part, root, depth + 1)
    for keyword in ("anyOf", "oneOf"):
        if keyword in schema:
            types &= frozenset().union(*(kinds(part, root, depth + 1) for part in schema[keyword]))
    return types


def kind(value: object) -> str:
    if value is None:
        return "null"
    names = {bool: "boolean", int: "integer", float: "number", str: "string", list: "array", dict: "object"}
    return names.get(type(value), "object")


def resolved(schema: Any, root: Any) -> Mapping[str, Any]:
    """A schema behind its local references; empty if it states nothing."""
    for _ in range(_DEEPEST):
        if not isinstance(schema, Mapping):
            return {}
        if not isinstance(schema.get("$ref"), str):
            return schema
        schema = referred(schema["$ref"], root)
    return {}


def referred(pointer: str, root: Any) -> Any:
    """The schema of a reference within the document; True, which accepts all, for any other reference."""
    node = root
    for step in pointer.removeprefix("#").split("/")[1:]:
        step = step.replace("~1", "/").replace("~0", "~")
        node = node.get(step, True) if isinstance(node, Mapping) else True
    return node if pointer.startswith("#") else True
