"""classify: the label of a passage, with the sentence that supports it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import ClassVar

from tinsmith.data.readers import Example
from tinsmith.errors import DataError, InputError
from tinsmith.prepare.documents.dropping import Dropped
from tinsmith.prepare.documents.grounding import occurs
from tinsmith.prepare.documents.passages import Passage, sentences
from tinsmith.prepare.documents.writing import Request, Terms, Writer, closed, example, read

_TOKENS = 160
_LONGEST = 300  # characters of a supporting sentence


def _prompt(text: str, labels: Sequence[str]) -> str:
    listed = ", ".join(labels)
    return f"{text}\n\nWrite the sentence of this text that says which of these it is, and which: {listed}"


_SHOTS = (
    (
        _prompt(
            "The pump would not start on Monday. We changed a fuse and it ran again.",
            ("sale", "repair", "travel"),
        ),
        '{"sentence":"We changed a fuse and it ran again.","label":"repair"}',
    ),
    (
        _prompt("Ask for our list. Ten crates and more are cheaper by a fifth.", ("travel", "repair", "sale")),
        '{"sentence":"Ten crates and more are cheaper by a fifth.","label":"sale"}',
    ),
)


class Classify(Writer):
    needs = "labels"
    grounding: ClassVar[str] = (
        "the teacher names the label twice, with the labels listed in opposite orders, and each time a "
        "supporting sentence: both labels are the same, and the passage has both sentences"
    )

    def check(self, terms: Terms) -> None:
        super().check(terms)
        if len(set(terms.labels)) < 2 or len(set(terms.labels)) < len(terms.labels):
            raise InputError("--labels: give at least two labels, each once")

    def requests(self, passage: Passage, terms: Terms) -> list[Request]:
        offered = [one for one in dict.fromkeys(sentences(passage.text)) if len(one) <= _LONGEST]
        reason = {"enum": offered} if offered else {"type": "string", "minLength": 8, "maxLength": _LONGEST}
        requests = []
        for labels in (list(terms.labels), list(terms.labels)[::-1]):
            schema = closed({"sentence": reason, "label": {"enum": labels}})
            requests.append(Request(_prompt(passage.text, labels), schema, _TOKENS, _SHOTS))
        return requests

    def written(
        self, passage: Passage, terms: Terms, requests: Sequence[Request], answers: Sequence[str]
    ) -> Iterator[Example | Dropped]:
        try:
            first, second = (read(*pair) for pair in zip(requests, answers, strict=True))
        except DataError as fault:
            yield Dropped("invalid", passage.where, str(fault), {"answer": " | ".join(answers)})
            return
        row = {"input": passage.text, "output": first["label"]}
        invented = [one["sentence"] for one in (first, second) if not occurs(one["sentence"], passage.text)]
        if invented:
            yield Dropped("ungrounded", passage.where, f'the passage does not say "{invented[0][:80]}"', row)
        elif first["label"] != second["label"]:
            message = f"{first['label']}, and {second['label']} with the labels in reverse order"
            yield Dropped("undecided", passage.where, message, row)
        else:
            yield example(passage, passage.text, first["label"])


WRITERS = (Classify(),)
