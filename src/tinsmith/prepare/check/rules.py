"""What an answer may be: a constraint, compiled, and the schemas behind it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from tinsmith.data.leaves import leaves
from tinsmith.data.slots import title
from tinsmith.prepare.allowed import Checker, Departure, bytes_model

SEPARATORS = {"compact": (",", ":"), "spaced": (", ", ": "), "free": (",", ":")}


@dataclass(frozen=True)
class Rules:
    """data: constraint.bin, None where any answer may be given. schema, tools: what it was made of, where it
    was made of these; spacing: of its JSON. labels: those that there are, where that is known."""

    data: bytes | None = None
    schema: Any = None
    tools: Sequence[Mapping[str, Any]] | None = None
    spacing: str = "compact"
    labels: Sequence[str] | None = None

    @cached_property
    def checker(self) -> Checker:
        assert self.data is not None
        return Checker(bytes_model(), self.data)

    def departure(self, output: str) -> Departure | None:
        return None if self.data is None else self.checker.find(output)

    def written(self, value: Any) -> str:
        """A JSON value in the constraint's spacing, keys in the order of its schema."""
        return json.dumps(self._ordered(value), ensure_ascii=False, separators=SEPARATORS[self.spacing])

    def _ordered(self, value: Any) -> Any:
        if self.tools is None or not isinstance(value, dict):
            return ordered(value, self.schema, self.schema)
        functions = (tool.get("function", tool) for tool in self.tools)
        named = {one.get("name"): one.get("parameters", {}) for one in functions}
        schema = named.get(value.get("name"), {})
        return {
            key: ordered(value[key], schema if key == "arguments" else {}, schema)
            for key in sorted(value, key=lambda key: (key != "name", key))
        }


def ordered(value: Any, schema: Any, root: Any) -> Any:
    """With the keys of objects as the schema's properties have them; further ones after them."""
    if not isinstance(schema, dict):
        return value
    if isinstance(schema.get("$ref"), str):
        return ordered(value, _referred(schema["$ref"], root), root)
    if isinstance(value, list):
        return [ordered(one, schema.get("items"), root) for one in value]
    if not isinstance(value, dict):
        return value
    properties = schema.get("properties", {})
    keys = [*(key for key in properties if key in value), *(key for key in value if key not in properties)]
    return {key: ordered(value[key], properties.get(key), root) for key in keys}


def _referred(reference: str, root: Any) -> Any:
    """What a local reference, such as #/$defs/name, leads to; None for another."""
    for step in reference.split("/")[1:]:
        root = root.get(step) if isinstance(root, dict) else None
    return root


def place(text: str, at: int) -> tuple[str, str] | None:
    """Path and literal of the value of a JSON text in which a character stands, or before which; None where
    there is none."""
    for leaf in leaves(text):
        if at <= leaf.end:
            return title(leaf.path), text[leaf.start : leaf.end]
    return None
