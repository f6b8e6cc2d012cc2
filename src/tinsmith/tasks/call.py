"""call: a function call, a JSON object of exactly "name", a string, and "arguments", an object; or a list of
parallel calls, whose order does not count."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from tinsmith.data.leaves import Leaf, leaves
from tinsmith.data.readers import Example
from tinsmith.tasks import Figure, Labels, Pairs, Task, Words
from tinsmith.tasks._json import parse_json
from tinsmith.tasks._scores import Named, counted, mean, micro, table


class Call(Task):
    name = "call"
    words = Words(
        answers="calls",
        exact="equal to the expected answer as JSON, name and all arguments",
        valid="strict JSON, no key repeated",
        label="function",
        labels="functions",
        wrong="wrong arguments",
        figures=(
            Figure("precision", "Precision", "share of answered calls that were expected, whole"),
            Figure("recall", "Recall", "share of expected calls that were answered"),
            Figure("f1", "F1", "their harmonic mean"),
        ),
        row="function",
    )
    form = 'an object of "name", a text, and "arguments", an object, and nothing else'
    source = "tools"
    has_values = True
    quotes_input = True  # inputs are short, and answers copy from them

    def parse(self, text: str) -> Any:
        """The call, or a sorted list of several."""
        value = parse_json(text)
        if not isinstance(value, list):
            return value if _is_call(value) else None
        if len(value) < 2 or not all(map(_is_call, value)):
            return None
        return sorted(value, key=lambda call: (call["name"], _canonical(call)))

    def likely(self, outputs: Sequence[str]) -> float:
        return mean(self.parse(output) is not None for output in outputs)

    def label(self, output: str) -> str | None:
        """The name, or the names of several calls."""
        return " + ".join(call["name"] for call in self.each(output)) or None

    def has_several(self, outputs: Iterable[str]) -> bool:
        return any(len(self.each(output)) > 1 for output in outputs)

    def values(self, output: str, *, literals: bool = False) -> list[Leaf]:
        """The arguments' values, their paths beginning with the function's name; none of several calls."""
        if len(self.each(output)) != 1:
            return []
        name = str(self.label(output))
        return [
            replace(leaf, path=(name, *leaf.path[1:]))
            for leaf in leaves(output, literals=literals)
            if leaf.path[0] == "arguments"
        ]

    def instruction(self, train: Sequence[Example], tools: Sequence[Mapping[str, Any]] | None) -> str:
        """Lists the tools, or else the signatures in the training examples."""
        listed = [json.dumps(tool, separators=(",", ":"), ensure_ascii=False) for tool in tools or ()]
        several = self.has_several(example.output for example in train)
        return "\n".join(
            [
                "Answer every sentence with one function call as JSON and nothing else:",
                '{"name": "function", "arguments": {"argument": "value"}}',
                *(["or with several, as a JSON list of such objects."] if several else []),
                "Functions:",
                *(listed or signatures(train)),
            ]
        )

    def measures(self, pairs: Pairs, labels: Labels = frozenset(), schema: Any = None) -> dict[str, Any]:
        """Of calls as a multiset: a call is right if its name and all its arguments are."""
        rows = counted((self._named(answer.text), self._named(example.output)) for answer, example in pairs)
        return {**micro(rows), "rows": table(rows)}

    def _named(self, output: str) -> list[Named]:
        return [(call["name"], _canonical(call)) for call in self.each(output)]


def _is_call(value: Any) -> bool:
    return (
        isinstance(value, dict)
        and value.keys() == {"name", "arguments"}
        and isinstance(value["name"], str)
        and isinstance(value["arguments"], dict)
    )


def _canonical(value: Any) -> str:
    """The same text for equal JSON values: 40 equals 40.0, and the order of keys does not count."""
    return json.dumps(_plain(value), sort_keys=True)


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_plain(inner) for inner in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def signatures(examples: Sequence[Example]) -> list[str]:
    """One line a function, such as `LightSet(area: string, brightness: number)`, as outputs call it."""
    kinds: dict[str, dict[str, str]] = defaultdict(dict)
    for example in examples:
        for call in task.each(example.output):
            arguments = kinds[call["name"]]
            for key, value in call["arguments"].items():
                arguments.setdefault(key, _json_type(value))
    return [
        f"{name}({', '.join(f'{key}: {kind}' for key, kind in sorted(arguments.items()))})"
        for name, arguments in sorted(kinds.items())
    ]


def _json_type(value: Any) -> str:
    if isinstance(value, bool):
        return "boolean"
    names = {str: "string", int: "number", float: "number", list: "array", dict: "object"}
    return names.get(type(value), "null")


task = Call()
