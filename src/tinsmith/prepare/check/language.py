"""language: a text in another language than nearly all others.

py3langid (Lui and Baldwin 2012) scores a text for every language. A rare language must score clearly higher
than the data's main languages, and have words that they lack."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from functools import cache
from typing import Any

from tinsmith.data.slots import words
from tinsmith.prepare.check import DROP, Check, Finding
from tinsmith.prepare.check._texts import quoted
from tinsmith.prepare.check.rows import Data

_LARGE = 0.1  # least share of texts in a main language
# Least difference of log scores for a text of unknown words; the addition for a text whose words all occur in
# texts of the main languages; and how often each word must occur there.
_CLEARLY, _KNOWN, _OFTEN = 6.0, 30.0, 3
_BYTES = 12  # of letters in UTF-8, from which a text has a language
_LETTERS = 0.75  # least share of letters and spaces; code and numbers have no language


class Language(Check):
    name, severity = "language", "warning"
    title = "texts in another language than the others"
    advice = "delete or translate them, or add enough examples in that language"

    def find(self, data: Data) -> Iterator[Finding]:
        for name in ("input", "output") if data.task.is_free else ("input",):
            texts = [str(getattr(row.example, name)) for row in data.rows]
            for i, language, usual in _others(texts):
                message = f"the {name} seems to be {language}, not {usual}: {quoted(texts[i])}"
                yield self.at(data, i, message, DROP)


CHECKS = (Language(),)


def _others(texts: Sequence[str]) -> Iterator[tuple[int, str, str]]:
    scores = {i: dict(identifier().rank(text)) for i, text in enumerate(texts) if _is_prose(text)}
    best = {i: max(score, key=score.__getitem__) for i, score in scores.items()}
    counts = Counter(best.values())
    main = [language for language, count in counts.items() if count >= _LARGE * len(best)]
    usual = Counter(word for i, one in best.items() if one in main for word in set(words(texts[i])))
    for i, language in best.items():
        if main and language not in main:
            instead = max(main, key=scores[i].__getitem__)
            own = words(texts[i])
            known = sum(usual[word] >= _OFTEN for word in own) / len(own)
            if scores[i][language] - scores[i][instead] >= _CLEARLY + _KNOWN * known:
                yield i, language, instead


def _is_prose(text: str) -> bool:
    letters = [one for one in text if one.isalpha()]
    spaces = sum(map(str.isspace, text))
    return len("".join(letters).encode()) >= _BYTES and len(letters) + spaces >= _LETTERS * len(text)


@cache
def identifier() -> Any:
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    return LanguageIdentifier.from_model_file(MODEL_FILE)
