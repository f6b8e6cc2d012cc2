"""extract: a JSON object with values of the text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tinsmith.data.leaves import Leaf, leaves
from tinsmith.data.readers import Example
from tinsmith.tasks import Figure, Labels, Pairs, Task, Words
from tinsmith.tasks._compare import fields, normalized
from tinsmith.tasks._json import json_equal, parse_json
from tinsmith.tasks._scores import counted, macro_f1, mean, micro, table


class Extract(Task):
    name = "extract"
    words = Words(
        answers="objects",
        exact="equal to the expected answer as JSON, all keys and values",
        valid="one object of strict JSON, no key repeated",
        figures=(
            Figure("match", "Same values", "exact, with dates, numbers and money compared as the schema says"),
            Figure("precision", "Precision", "share of answered values that were expected"),
            Figure("recall", "Recall", "share of expected values that were answered"),
            Figure("f1", "F1", "their harmonic mean, over all values"),
            Figure("macro_f1", "Macro-F1", "the mean of the fields' F1"),
        ),
        row="field",
    )
    form = "one JSON object"
    source = "schema"
    has_values = True

    def parse(self, text: str) -> Any:
        value = parse_json(text)
        return value if isinstance(value, dict) else None

    def likely(self, outputs: Sequence[str]) -> float:
        return 0.9 * mean(self.parse(output) is not None for output in outputs)

    def values(self, output: str, *, literals: bool = False) -> list[Leaf]:
        return leaves(output, literals=literals)

    def instruction(self, train: Sequence[Example], tools: Sequence[Mapping[str, Any]] | None) -> str:
        keys = sorted({key for example in train for key in parse_json(example.output)})
        return f"Answer every text with one JSON object and nothing else. Its keys: {', '.join(keys)}"

    def measures(self, pairs: Pairs, labels: Labels = frozenset(), schema: Any = None) -> dict[str, Any]:
        """A field is a path such as `items[].price`, with a multiset of values. A null is no value, and an
        answer that is no object has none."""
        values = [
            tuple(normalized(self.parse(text), schema) for text in (answer.text, example.output))
            for answer, example in pairs
        ]
        rows = counted((fields(given), fields(wanted)) for given, wanted in values)
        return {
            "match": mean(given is not None and json_equal(given, wanted) for given, wanted in values),
            **micro(rows),
            "macro_f1": macro_f1(rows),
            "rows": table(rows),
        }


task = Extract()
