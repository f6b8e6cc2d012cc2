"""extract: a JSON object of what the text holds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from tinsmith.data.leaves import Leaf, leaves
from tinsmith.tasks import Answered, Figure, Task, Words
from tinsmith.tasks._compare import fields, normalized
from tinsmith.tasks._json import json_equal, parse_json, parse_object, share
from tinsmith.tasks._scores import counted, macro_f1, micro, table

if TYPE_CHECKING:
    from tinsmith.data.readers import Example


class Extract(Task):
    name = "extract"
    words = Words(
        answers="objects",
        exact="equal to the expected answer as JSON, all keys and values",
        valid="one object of strict JSON, no key repeated",
        figures=(
            Figure("match", "Same values", "exact, dates, numbers and money compared as the schema says"),
            Figure("precision", "Precision", "of the values that were answered, those that were expected"),
            Figure("recall", "Recall", "of the values that were expected, those that were answered"),
            Figure("f1", "F1", "their harmonic mean, over all values alike"),
            Figure("macro_f1", "Macro-F1", "the mean of the fields' F1"),
        ),
        row="field",
    )
    form = "one JSON object"
    source = "schema"
    has_values = True

    def parse(self, text: str) -> Any:
        return parse_object(text)

    def likely(self, outputs: Sequence[str]) -> float:
        return 0.9 * share(self.parse(output) is not None for output in outputs)

    def values(self, output: str, *, literals: bool = False) -> list[Leaf]:
        return leaves(output, literals=literals)

    def instruction(self, train: Sequence[Example], tools: Sequence[Mapping[str, Any]] | None) -> str:
        keys = sorted({key for example in train for key in parse_json(example.output)})
        return f"Answer every text with one JSON object and nothing else. Its keys: {', '.join(keys)}"

    def measures(
        self,
        answers: Sequence[Answered],
        examples: Sequence[Example],
        labels: frozenset[str] = frozenset(),
        schema: Any = None,
    ) -> dict[str, Any]:
        """A field is a path such as `items[].price`, and holds a multiset of values; null is no value. An
        answer that is no object holds none."""
        pairs = [
            tuple(normalized(self.parse(text), schema) for text in (answer.text, example.output))
            for answer, example in zip(answers, examples, strict=True)
        ]
        rows = counted((fields(given), fields(wanted)) for given, wanted in pairs)
        return {
            "match": share(given is not None and json_equal(given, wanted) for given, wanted in pairs),
            **micro(rows),
            "macro_f1": macro_f1(rows),
            "rows": table(rows),
        }


task = Extract()
