"""text-label: a text and its label, as classification data sets have them."""

from __future__ import annotations

from typing import ClassVar

from tinsmith.data.shapes._pairs import Pairs


class TextLabel(Pairs):
    name = "text-label"
    inputs: ClassVar = ("text", "sentence", "utterance", "content", "document", "review", "message")
    outputs: ClassVar = (
        "label",
        "labels",
        "label_text",
        "category",
        "class",
        "intent",
        "sentiment",
        "topic",
        "output",
    )


shape = TextLabel()
