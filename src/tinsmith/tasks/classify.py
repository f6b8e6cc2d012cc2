"""classify: one of a few labels, which are the outputs of the training examples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from tinsmith.tasks import Task, Words

if TYPE_CHECKING:
    from tinsmith.data.readers import Example


class Classify(Task):
    name = "classify"
    words = Words(
        answers="labels",
        exact="the expected label",
        valid="a label of the training examples",
    )
    constraint: ClassVar[Mapping[str, str]] = {"choices": "labels"}

    def parse(self, text: str) -> Any:
        return text.strip() or None

    def is_valid(self, value: Any, labels: frozenset[str]) -> bool:
        return value in labels

    def label(self, output: str) -> str | None:
        return output.strip() or None

    def instruction(self, train: Sequence[Example], tools: Sequence[Mapping[str, Any]] | None) -> str:
        labels = sorted({example.output for example in train})
        return f"Answer every text with one of these labels and nothing else: {', '.join(labels)}"


task = Classify()
