"""language: a text in another language than nearly all.

py3langid (Lui and Baldwin 2012) scores a text for every language; one that no large part of the data is in must
score clearly higher than those that are, and have words of its own."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import cache
from typing import Any

from tinsmith.prepare.check import Check, Finding, drop
from tinsmith.prepare.check._texts import quoted
from tinsmith.prepare.check.rows import Data

_LARGE = 0.1  # the share of texts that makes a language one of the data's
_CLEARLY = 6.0  # difference of log scores
_LETTERS = 12  # of a text that has a language
_KNOWN, _OFTEN = (
    0.5,
    3,
)  # the share of words that texts of the usual languages have so often, and it is no other


class Language(Check):
    name, severity = "language", "warning"
    title = "texts in another language than the others"
    advice = "delete or translate them, or give the language enough examples of its own"

    def find(self, data: Data) -> Iterator[Finding]:
        for name in ("input", "output") if data.task.name == "chat" else ("input",):
            texts = [str(getattr(row.example, name)) for row in data.rows]
            for i, language, usual in _others(texts):
                message = f"the {name} seems to be {language}, not {usual}: {quoted(texts[i])}"
                yield self.at(data, i, message, drop())


def _others(texts: Sequence[str]) -> Iterator[tuple[int, str, str]]:
    scores = {
        i: dict(identifier().rank(text))
        for i, text in enumerate(texts)
        if sum(map(str.isalpha, text)) >= _LETTERS
    }
    best = {i: max(score, key=score.__getitem__) for i, score in scores.items()}
    counts = Counter(best.values())
    main = [language for language, count in counts.items() if count >= _LARGE * len(best)]
    usual = Counter(word for i, one in best.items() if one in main for word in set(_words(texts[i])))
    for i, language in best.items():
        if main and language not in main:
            instead = max(main, key=scores[i].__getitem__)
            words = _words(texts[i])
            known = sum(usual[word] >= _OFTEN for word in words) >= _KNOWN * len(words)
            if scores[i][language] - scores[i][instead] >= _CLEARLY and not known:
                yield i, language, instead


def _words(text: str) -> list[str]:
    return re.findall(r"\w+", text.casefold())


@cache
def identifier() -> Any:
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    return LanguageIdentifier.from_model_file(MODEL_FILE)


check = Language()
