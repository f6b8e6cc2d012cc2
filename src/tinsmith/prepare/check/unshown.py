"""Functions, arguments, fields and labels without an example; a small model learns only what it is shown."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from typing import Any

from tinsmith.chat.tool_formats.tool import read_tools
from tinsmith.data.splits import LEARNED
from tinsmith.prepare.check import Check, Finding
from tinsmith.prepare.check.rows import Data

_LISTED = 8


class Unshown(Check):
    name, severity = "unshown", "note"
    title = "allowed answers that no example shows"
    advice = "write examples of them; a small model learns only from examples"

    def needs(self, data: Data) -> str:
        rules = data.rules
        known = rules and (rules.tools or rules.schema is not None or rules.labels)
        return "" if known else "no constraint is known; give tools, a schema or labels"

    def find(self, data: Data) -> Iterator[Finding]:
        rules, learned = data.rules, [i for i, row in enumerate(data.rows) if row.split == LEARNED]
        assert rules
        if not learned:
            return
        values = [data.values[i] for i in learned]
        if rules.tools is not None:
            found = of_tools(rules.tools, values)
        elif rules.labels:
            found = of_labels(rules.labels, data.task.labels(data.rows[i].example.output for i in learned))
        else:
            found = of_schema(rules.schema, values)
        for line in found:
            yield Finding(self.name, self.severity, str(data.rows[learned[0]].path), line)


CHECKS = (Unshown(),)


def in_short(names: Sequence[str]) -> str:
    more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    return ", ".join(names[:_LISTED]) + more


def of_tools(tools: Sequence[Mapping[str, Any]], values: Iterable[Any]) -> Iterator[str]:
    """Messages about functions without an example, and arguments of the others. values: outputs as JSON; other
    values than calls are ignored. Raises ConstraintError for invalid tools."""
    given: dict[str, set[str]] = defaultdict(set)
    for value in values:
        for call in value if isinstance(value, list) else [value]:
            match call:
                case {"name": str(name), "arguments": dict(arguments)}:
                    given[name] |= arguments.keys()
    known = read_tools(tools)
    yield from _absent("functions", [tool.name for tool in known], given)
    parts = [
        f"{tool.name}.{key}"
        for tool in known
        if tool.name in given
        for key in tool.parameters.get("properties", {})
        if key not in given[tool.name]
    ]
    if parts:
        yield f"no example has some arguments of the others: {in_short(parts)}"


def of_schema(schema: Any, values: Iterable[Any]) -> Iterator[str]:
    """Messages about fields of an object's schema."""
    properties = schema.get("properties") if isinstance(schema, dict) else None
    given = {key for value in values if isinstance(value, dict) for key in value}
    parts = [key for key in properties if key not in given] if isinstance(properties, dict) else []
    if parts:
        yield f"no example has some fields: {in_short(parts)}"


def of_labels(labels: Sequence[str], shown: Iterable[str]) -> Iterator[str]:
    yield from _absent("labels", labels, set(shown))


def _absent(what: str, names: Sequence[str], given: Container[str]) -> Iterator[str]:
    absent = [name for name in names if name not in given]
    if absent:
        yield f"no example has {len(absent)} of the {len(names)} {what}: {in_short(absent)}"
