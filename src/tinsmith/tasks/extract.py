"""extract: a JSON object of what the text holds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from tinsmith.data.leaves import Leaf, leaves
from tinsmith.tasks import Task, Words
from tinsmith.tasks._json import parse_json, parse_object, share

if TYPE_CHECKING:
    from tinsmith.data.readers import Example


class Extract(Task):
    name = "extract"
    words = Words(
        answers="objects",
        exact="equal to the expected answer as JSON, all keys and values",
        valid="one object of strict JSON, no key repeated",
    )
    form = "one JSON object"
    source = "schema"
    has_values = True

    def parse(self, text: str) -> Any:
        return parse_object(text)

    def likely(self, outputs: Sequence[str]) -> float:
        return 0.9 * share(self.parse(output) is not None for output in outputs)

    def values(self, output: str) -> list[Leaf]:
        return leaves(output)

    def instruction(self, train: Sequence[Example], tools: Sequence[Mapping[str, Any]] | None) -> str:
        keys = sorted({key for example in train for key in parse_json(example.output)})
        return f"Answer every text with one JSON object and nothing else. Its keys: {', '.join(keys)}"


task = Extract()
