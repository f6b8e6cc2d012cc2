"""Whether the passage contains what a teacher wrote about it."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

from tinsmith.chat.tool_formats.kinds import resolved
from tinsmith.data.near import in_order
from tinsmith.data.splits import normalize
from tinsmith.prepare.documents.passages import Passage

_NUMBER = re.compile(r"\d+(?:[.,' ]\d{3})*(?:[.,]\d+)?")
_CONTENT, _STEM = 4, 5  # least letters of a content word, and first letters that are compared
_RELATED = 0.6  # least share of a question's content words in the passage
_OFTEN = 3  # most repetitions of a word in a question
_TOLD = 0.8  # share of an answer's content words in a question that gives it away
# fmt: off
_ASKING = frozenset((
    "what", "which", "when", "where", "whose", "whom", "does", "that", "this", "these", "those", "with", "from",
    "about", "have", "been", "were", "will", "would", "could", "should", "there", "their", "they", "them",
    "then", "than", "some", "such", "into", "your", "name", "used", "following", "according", "text", "passage",
    "sentence", "question", "mean", "describe", "explain", "main", "purpose",
))
# fmt: on


def occurs(value: str | float, text: str) -> bool:
    """Whether a text has a value: words in order, but for case and punctuation; a number in any notation."""
    if isinstance(value, str):
        needle = " ".join(in_order(normalize(value)))
        return bool(needle) and f" {needle} " in f" {' '.join(in_order(normalize(text)))} "
    return abs(value) in set(_numbers(text))


def _numbers(text: str) -> Iterator[float]:
    for match in _NUMBER.findall(text):
        for separators, point in ((",' ", "."), (".' ", ",")):
            plain = match.translate({ord(sign): None for sign in separators}).replace(point, ".")
            try:
                yield float(plain)
            except ValueError:
                continue


def content(text: str) -> set[str]:
    """The stems of a text's content words."""
    every = in_order(normalize(text))
    return {word[:_STEM] for word in every if (len(word) >= _CONTENT or word.isdigit()) and word not in _ASKING}


def is_related(question: str, answer: str, passage: Passage) -> bool:
    """Whether the passage or its title has most content words of the question, and the answer has one."""
    words = content(question)
    known = words & (content(passage.text) | content(passage.title))
    return len(known) >= _RELATED * len(words) and bool(words & content(answer))


def is_looping(question: str) -> bool:
    """Whether a question repeats a word over and over, as small models do."""
    counts = Counter(word for word in in_order(normalize(question)) if len(word) >= _CONTENT)
    return max(counts.values(), default=0) > _OFTEN


def gives_away(question: str, answer: str) -> bool:
    words = content(answer)
    return bool(words) and len(words & content(question)) >= _TOLD * len(words)


def copied(value: Any, schema: Any, root: Any, place: str = "") -> Iterator[tuple[str, str | float]]:
    """The texts and numbers of a JSON value, each with its place, except those of closed lists, which are
    classes and need not occur in a text. root: the schema that references start from."""
    schema = resolved(schema, root)
    if "enum" in schema or "const" in schema or value is None or isinstance(value, bool):
        return
    if isinstance(value, dict):
        inner = schema.get("properties") or {}
        for key, one in value.items():
            yield from copied(one, inner.get(key), root, f"{place}.{key}" if place else key)
    elif isinstance(value, list):
        for one in value:
            yield from copied(one, schema.get("items"), root, f"{place}[]")
    else:
        yield place or "the value", value
