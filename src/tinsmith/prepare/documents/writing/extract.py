"""extract: a passage's facts, as JSON by a schema."""

from __future__ import annotations

import json
from typing import Any, ClassVar

from tinsmith.data.readers import Example
from tinsmith.prepare.documents.dropping import Dropped
from tinsmith.prepare.documents.grounding import copied, occurs
from tinsmith.prepare.documents.passages import Passage
from tinsmith.prepare.documents.writing import Request, Terms, Writer, closed, compact, example

_TOKENS = 384


def _prompt(text: str, schema: Any) -> str:
    shape = json.dumps(schema, ensure_ascii=False)
    return f"{text}\n\nWrite what this text says as JSON of this schema, in its own words: {shape}"


_SHOTS = (
    (
        _prompt(
            "The Adler lamp burns for nine hours on one filling. It was built in Bremen until 1911.",
            closed({"place": {"type": "string"}, "until": {"type": "integer"}}),
        ),
        '{"place":"Bremen","until":1911}',
    ),
)


class Extract(Writer):
    needs = "schema"
    grounding: ClassVar[str] = (
        "the passage has every text and number of an answer word for word, except those of a closed list "
        "(enum, const)"
    )

    def requests(self, passage: Passage, terms: Terms) -> list[Request]:
        return [Request(_prompt(passage.text, terms.schema), terms.schema, _TOKENS, _SHOTS)]

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


WRITERS = (Extract(),)
