"""classify: one of a few labels, which are the outputs of the training examples."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from tinsmith.tasks import Task, Words

if TYPE_CHECKING:
    from tinsmith.data.readers import Example

_WORDS, _MOST, _OFTEN = 6, 100, 5  # words of a label, labels, and outputs for each


class Classify(Task):
    name = "classify"
    words = Words(
        answers="labels",
        exact="the expected label",
        valid="a label of the training examples",
    )
    form = "a label"
    source = "choices"
    constraint: ClassVar[Mapping[str, str]] = {"choices": "labels"}

    def parse(self, text: str) -> Any:
        return text.strip() or None

    def likely(self, outputs: Sequence[str]) -> float:
        """Those that come again are few, short, and come often."""
        counts = Counter(outputs)
        again = [output for output, count in counts.items() if count > 1]
        are_short = all(len(output.split()) <= _WORDS and "\n" not in output for output in again)
        are_few = 0 < len(again) <= _MOST and len(outputs) >= _OFTEN * len(counts)
        return 0.5 if are_short and are_few else 0.0

    def is_valid(self, value: Any, labels: frozenset[str]) -> bool:
        return value in labels

    def label(self, output: str) -> str | None:
        return output.strip() or None

    def instruction(self, train: Sequence[Example], tools: Sequence[Mapping[str, Any]] | None) -> str:
        labels = sorted({example.output for example in train})
        return f"Answer every text with one of these labels and nothing else: {', '.join(labels)}"


task = Classify()
