"""classify: the label of a passage, with the sentence that supports it; extract: its facts, by a schema."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

from tinsmith.data.readers import Example
from tinsmith.errors import DataError, InputError
from tinsmith.prepare.documents.dropping import Dropped
from tinsmith.prepare.documents.grounding import copied, occurs
from tinsmith.prepare.documents.passages import Passage, sentences
from tinsmith.prepare.documents.writing import (
    Request,
    Terms,
    Writer,
    as_json,
    closed,
    compact,
    example,
    read,
)

_LONGEST = 300  # characters of a supporting sentence


class Classify(Writer):
    needs = "labels"
    asks = "Write the sentence of this text that says which of these it is, and which"
    tokens = 160
    shots = (
        (
            "The pump would not start on Monday. We changed a fuse and it ran again.",
            "sale, repair, travel",
            '{"sentence":"We changed a fuse and it ran again.","label":"repair"}',
        ),
        (
            "Ask for our list. Ten crates and more are cheaper by a fifth.",
            "travel, repair, sale",
            '{"sentence":"Ten crates and more are cheaper by a fifth.","label":"sale"}',
        ),
    )

    def check(self, terms: Terms) -> None:
        super().check(terms)
        if len(set(terms.labels)) < 2 or len(set(terms.labels)) < len(terms.labels):
            raise InputError("--labels: give at least two labels, each once")

    def requests(self, passage: Passage, terms: Terms) -> list[Request]:
        offered = [one for one in dict.fromkeys(sentences(passage.text)) if len(one) <= _LONGEST]
        reason = {"enum": offered} if offered else {"type": "string", "minLength": 8, "maxLength": _LONGEST}
        return [
            self.request(
                passage.text, ", ".join(labels), closed({"sentence": reason, "label": {"enum": labels}})
            )
            for labels in (list(terms.labels), list(terms.labels)[::-1])
        ]

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


class Extract(Writer):
    needs = "schema"
    asks = "Write what this text says as JSON of this schema, in its own words"
    tokens = 384
    shots = (
        (
            "The Adler lamp burns for nine hours on one filling. It was built in Bremen until 1911.",
            as_json(closed({"place": {"type": "string"}, "until": {"type": "integer"}})),
            '{"place":"Bremen","until":1911}',
        ),
    )

    def requests(self, passage: Passage, terms: Terms) -> list[Request]:
        return [self.request(passage.text, as_json(terms.schema), terms.schema)]

    def example(self, passage: Passage, terms: Terms, number: int, value: Any) -> Example | Dropped:
        output = compact(value)
        row = {"input": passage.text, "output": output}
        values = list(copied(value, terms.schema, terms.schema))
        invented = [(place, one) for place, one in values if not occurs(one, passage.text)]
        if invented:
            message = "; ".join(f"{place} is {json.dumps(one)[:80]}" for place, one in invented[:3])
            return Dropped("ungrounded", passage.where, f"{message}, which the passage does not say", row)
        if not values:
            return Dropped("ungrounded", passage.where, "has no value from the passage", row)
        return example(passage, passage.text, output)


WRITERS = (Classify(), Extract())
