"""What may be answered and no example shows: a small model learns what it is shown."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tinsmith.chat.tool_formats.tool import read_tools

_LISTED = 8


@dataclass(frozen=True)
class Unshown:
    """names: of `of` functions or labels, those that no output has; parts: arguments of the other functions, or
    fields, that none has."""

    what: str
    names: list[str]
    of: int
    parts: list[str]

    def lines(self) -> Iterator[str]:
        if self.names:
            yield f"no example has {len(self.names)} of the {self.of} {self.what}: {listed(self.names)}"
        if self.parts:
            what = "arguments of the others" if self.what == "functions" else self.what
            yield f"no example has some {what}: {listed(self.parts)}"


def listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    return ", ".join(names[:_LISTED]) + more


def of_tools(tools: Sequence[Mapping[str, Any]], values: Iterable[Any]) -> Unshown:
    """values: outputs as JSON; what is no call or list of calls shows nothing. Raises ConstraintError for tools
    that are none."""
    given: dict[str, set[str]] = defaultdict(set)
    for value in values:
        for call in value if isinstance(value, list) else [value]:
            match call:
                case {"name": str(name), "arguments": dict(arguments)}:
                    given[name] |= arguments.keys()
    known = read_tools(tools)
    parts = [
        f"{tool.name}.{key}"
        for tool in known
        if tool.name in given
        for key in tool.parameters.get("properties", {})
        if key not in given[tool.name]
    ]
    return Unshown("functions", [tool.name for tool in known if tool.name not in given], len(known), parts)


def of_schema(schema: Any, values: Iterable[Any]) -> Unshown:
    """The fields of a schema for an object; of another one nothing is said."""
    properties = schema.get("properties") if isinstance(schema, dict) else None
    given = {key for value in values if isinstance(value, dict) for key in value}
    parts = [key for key in properties if key not in given] if isinstance(properties, dict) else []
    return Unshown("fields", [], 0, parts)


def of_labels(labels: Sequence[str], shown: Iterable[str]) -> Unshown:
    known = set(shown)
    return Unshown("labels", [label for label in labels if label not in known], len(labels), [])
