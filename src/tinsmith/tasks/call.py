"""call: one function call, a JSON object of exactly "name", a string, and "arguments", an object."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from tinsmith.data.leaves import Leaf, leaves
from tinsmith.tasks import Task, Words
from tinsmith.tasks._json import parse_json, parse_object, share

if TYPE_CHECKING:
    from tinsmith.data.readers import Example


class Call(Task):
    name = "call"
    words = Words(
        answers="calls",
        exact="equal to the expected answer as JSON, name and all arguments",
        valid="strict JSON, no key repeated",
        label="function",
        labels="functions",
        wrong="wrong arguments",
    )
    form = 'an object of "name", a text, and "arguments", an object, and nothing else'
    source = "tools"
    has_values = True

    def parse(self, text: str) -> Any:
        value = parse_object(text)
        if value is None or value.keys() != {"name", "arguments"}:
            return None
        return value if isinstance(value["name"], str) and isinstance(value["arguments"], dict) else None

    def likely(self, outputs: Sequence[str]) -> float:
        return share(self.parse(output) is not None for output in outputs)

    def label(self, output: str) -> str | None:
        value = self.parse(output)
        return None if value is None else str(value["name"])

    def values(self, output: str) -> list[Leaf]:
        """Those of the arguments; the path begins with the function's name."""
        name = str(self.label(output))
        return [
            replace(leaf, path=(name, *leaf.path[1:])) for leaf in leaves(output) if leaf.path[0] == "arguments"
        ]

    def instruction(self, train: Sequence[Example], tools: Sequence[Mapping[str, Any]] | None) -> str:
        """Without tools the signatures seen in the training examples are listed."""
        listed = [json.dumps(tool, separators=(",", ":"), ensure_ascii=False) for tool in tools or ()]
        return "\n".join(
            [
                "Answer every sentence with one function call as JSON and nothing else:",
                '{"name": "function", "arguments": {"argument": "value"}}',
                "Functions:",
                *(listed or signatures(train)),
            ]
        )


def signatures(examples: Sequence[Example]) -> list[str]:
    """One line a function, `LightSet(area: string, brightness: number)`, as the examples' outputs use it."""
    seen: dict[str, dict[str, str]] = defaultdict(dict)
    for example in examples:
        call = parse_json(example.output)
        for key, value in call["arguments"].items():
            seen[call["name"]].setdefault(key, _json_type(value))
        seen[call["name"]]  # a function without arguments is a function too
    return [
        f"{name}({', '.join(f'{key}: {kind}' for key, kind in sorted(arguments.items()))})"
        for name, arguments in sorted(seen.items())
    ]


def _json_type(value: Any) -> str:
    if isinstance(value, bool):
        return "boolean"
    names = {str: "string", int: "number", float: "number", list: "array", dict: "object"}
    return names.get(type(value), "null")


task = Call()
