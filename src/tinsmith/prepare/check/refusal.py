"""refusal: an output in which a model declines to answer."""

from __future__ import annotations

import re
from collections.abc import Iterator

from tinsmith.prepare.check import Check, Finding, drop
from tinsmith.prepare.check._texts import quoted
from tinsmith.prepare.check.rows import Data

_CANNOT = r"(?:can['’]?t|cannot|can not|won['’]?t|(?:am|['’]m) (?:unable|not able) to)"
_REFUSAL = re.compile(
    rf"\b(?:as an? (?:ai|artificial intelligence|large language model|language model)\b"
    rf"|i(?:['’]m| am) (?:just |only )?an? (?:ai|language model)\b"
    rf"|(?:i['’]?m |i am )?(?:very |so |truly )?sorry,? (?:but )?(?:i|this|that)\b.{{0,20}}?{_CANNOT}"
    rf"|i ?{_CANNOT} (?:help|assist|provide|comply|fulfil|answer|do that|support|create|generate|process)"
    r"|als (?:ki|künstliche intelligenz|sprachmodell)\b|tut mir leid, (?:aber )?(?:ich|dabei)"
    r"|en tant qu['’]ia\b|je suis désolée?, (?:mais )?je ne peux"
    r"|como (?:una )?(?:ia|inteligencia artificial)\b|lo siento, (?:pero )?no puedo)",
    re.IGNORECASE | re.DOTALL,
)
_WITHIN = 300  # first characters of an output that are searched


class Refusal(Check):
    name, severity = "refusal", "warning"
    title = "outputs that decline to answer"
    advice = "delete them, unless the model is to learn to decline"

    def find(self, data: Data) -> Iterator[Finding]:
        for i, row in enumerate(data.rows):
            output = row.example.output
            if found := _REFUSAL.search(output[:_WITHIN]):
                yield self.at(data, i, f"{quoted(found[0])} in the output: {quoted(output)}", drop())


CHECKS = (Refusal(),)
