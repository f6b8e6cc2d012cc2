"""The constraint of answers, compiled, with the schemas behind it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from tinsmith.chat.tool_formats.kinds import resolved
from tinsmith.prepare.allowed import Checker, Departure, bytes_model

SEPARATORS = {"compact": (",", ":"), "spaced": (", ", ": "), "free": (",", ":")}


@dataclass(frozen=True)
class Rules:
    """data: constraint.bin. schema, tools: its source, if any. spacing: of its JSON. labels: the known ones."""

    data: bytes
    schema: Any = None
    tools: Sequence[Mapping[str, Any]] | None = None
    spacing: str = "compact"
    labels: Sequence[str] | None = None

    @cached_property
    def checker(self) -> Checker:
        return Checker(bytes_model(), self.data)

    def departure(self, output: str) -> Departure | None:
        return self.checker.departure(output)

    def written(self, value: Any) -> str:
        """A JSON value in the constraint's spacing, keys in the schema's order."""
        return json.dumps(self._ordered(value), ensure_ascii=False, separators=SEPARATORS[self.spacing])

    def _ordered(self, value: Any) -> Any:
        if self.tools is None or not isinstance(value, dict):
            return _ordered(value, self.schema, self.schema)
        functions = (tool.get("function", tool) for tool in self.tools)
        schemas = {one.get("name"): one.get("parameters", {}) for one in functions}
        schema = schemas.get(value.get("name"), {})
        return {
            key: _ordered(value[key], schema if key == "arguments" else {}, schema)
            for key in sorted(value, key=lambda key: (key != "name", key))
        }


def _ordered(value: Any, schema: Any, root: Any) -> Any:
    """The value with its keys in the order of the schema's properties, then other keys."""
    schema = resolved(schema, root)
    if isinstance(value, list):
        return [_ordered(one, schema.get("items"), root) for one in value]
    if not isinstance(value, dict):
        return value
    properties = schema.get("properties", {})
    keys = [*(key for key in properties if key in value), *(key for key in value if key not in properties)]
    return {key: _ordered(value[key], properties.get(key), root) for key in keys}
