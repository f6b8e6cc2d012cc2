"""call: a function call, a JSON object of exactly "name", a string, and "arguments", an object; or several, as
a list of such objects. They are made beside each other, so their order does not count."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from tinsmith.data.leaves import Leaf, leaves
from tinsmith.tasks import Answered, Figure, Task, Words
from tinsmith.tasks._json import parse_json, share
from tinsmith.tasks._scores import Named, counted, micro, table

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
        figures=(
            Figure(
                "precision", "Precision", "of the calls that were answered, those that were expected, whole"
            ),
            Figure("recall", "Recall", "of the calls that were expected, those that were answered"),
            Figure("f1", "F1", "their harmonic mean"),
        ),
        row="function",
    )
    form = 'an object of "name", a text, and "arguments", an object, and nothing else'
    source = "tools"
    has_values = True
    spells = True  # inputs are short, and answers copy from them

    def parse(self, text: str) -> Any:
        """The call; of several, a list in an order that does not depend on theirs."""
        try:
            value = parse_json(text.strip())
        except ValueError:
            return None
        if not isinstance(value, list):
            return value if _is_call(value) else None
        if len(value) < 2 or not all(map(_is_call, value)):
            return None
        return sorted(value, key=lambda call: (call["name"], _canonical(call)))

    def likely(self, outputs: Sequence[str]) -> float:
        return share(self.parse(output) is not None for output in outputs)

    def label(self, output: str) -> str | None:
        """The name; of several calls, all of them."""
        return " + ".join(call["name"] for call in self._calls(output)) or None

    def _calls(self, output: str) -> list[dict[str, Any]]:
        value = self.parse(output)
        return value if isinstance(value, list) else [] if value is None else [value]

    def has_several(self, outputs: Iterable[str]) -> bool:
        return any(len(self._calls(output)) > 1 for output in outputs)

    def values(self, output: str, *, literals: bool = False) -> list[Leaf]:
        """Those of the arguments; the path begins with the function's name. Of several calls none are told
        apart."""
        if len(self._calls(output)) != 1:
            return []
        name = str(self.label(output))
        return [
            replace(leaf, path=(name, *leaf.path[1:]))
            for leaf in leaves(output, literals=literals)
            if leaf.path[0] == "arguments"
        ]

    def instruction(self, train: Sequence[Example], tools: Sequence[Mapping[str, Any]] | None) -> str:
        """Without tools the signatures seen in the training examples are listed."""
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

    def measures(
        self,
        answers: Sequence[Answered],
        examples: Sequence[Example],
        labels: frozenset[str] = frozenset(),
        schema: Any = None,
    ) -> dict[str, Any]:
        """Of whole calls, as a multiset: a call is right with its name and all its arguments."""
        rows = counted(
            (self._named(answer.text), self._named(example.output))
            for answer, example in zip(answers, examples, strict=True)
        )
        return {**micro(rows), "rows": table(rows)}

    def _named(self, output: str) -> list[Named]:
        return [(call["name"], _canonical(call)) for call in self._calls(output)]


def _is_call(value: Any) -> bool:
    return (
        isinstance(value, dict)
        and value.keys() == {"name", "arguments"}
        and isinstance(value["name"], str)
        and isinstance(value["arguments"], dict)
    )


def _canonical(value: Any) -> str:
    """One text for values that are equal as JSON: 40 is 40.0, the order of keys does not count."""
    return json.dumps(_plain(value), sort_keys=True)


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_plain(inner) for inner in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def signatures(examples: Sequence[Example]) -> list[str]:
    """One line a function, `LightSet(area: string, brightness: number)`, as the examples' outputs use it."""
    seen: dict[str, dict[str, str]] = defaultdict(dict)
    for example in examples:
        for call in task._calls(example.output):
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
