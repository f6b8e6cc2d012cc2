"""extract: what a passage says, as JSON by a schema."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any, ClassVar

from tinsmith.data.readers import Example
from tinsmith.errors import DataError
from tinsmith.prepare.documents.dropping import Dropped
from tinsmith.prepare.documents.grounding import copied, stands
from tinsmith.prepare.documents.passages import Passage
from tinsmith.prepare.documents.writing import Request, Terms, Writer, closed, example, invalid, read

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
        "every text and number of an answer that is of no closed list (enum, const) stands in the passage, "
        "word for word"
    )

    def requests(self, passage: Passage, terms: Terms) -> list[Request]:
        return [Request(_prompt(passage.text, terms.schema), terms.schema, _TOKENS, _SHOTS)]

    def written(
        self, passage: Passage, terms: Terms, requests: Sequence[Request], answers: Sequence[str]
    ) -> Iterator[Example | Dropped]:
        for request, answer in zip(requests, answers, strict=True):
            try:
                value = read(request, answer)
            except DataError as fault:
                yield invalid(passage, fault, answer)
                continue
            output = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
            row = {"input": passage.text, "output": output}
            values = list(copied(value, terms.schema, terms.schema))
            made_up = [(place, one) for place, one in values if not stands(one, passage.text)]
            if made_up:
                message = "; ".join(f"{place} is {json.dumps(one)[:80]}" for place, one in made_up[:3])
                yield Dropped("ungrounded", passage.where, f"{message}, which the passage does not say", row)
            elif not values:
                yield Dropped("ungrounded", passage.where, "says nothing of the passage", row)
            else:
                yield example(passage, passage.text, output)


writer = Extract()
