"""Whether what a teacher wrote stands in the passage that it was shown."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

from tinsmith.data.near import in_order
from tinsmith.data.splits import normalize
from tinsmith.prepare.documents.passages import Passage

_NUMBER = re.compile(r"\d+(?:[.,' ]\d{3})*(?:[.,]\d+)?")
_CONTENT, _STEM = 4, 5  # letters of a word that says what a text is about, and of it those that endings leave
_RELATED = 0.6  # of a question's words of content, the share that the passage has
_OFTEN = 3  # times that a question has one of its words
_TOLD = 0.8  # of an answer's words of content, the share in the question that gives it away
# fmt: off
_ASKING = frozenset((
    "what", "which", "when", "where", "whose", "whom", "does", "that", "this", "these", "those", "with", "from",
    "about", "have", "been", "were", "will", "would", "could", "should", "there", "their", "they", "them",
    "then", "than", "some", "such", "into", "your", "name", "used", "following", "according", "text", "passage",
    "sentence", "question", "mean", "describe", "explain", "main", "purpose",
))
# fmt: on


def stands(value: str | float, text: str) -> bool:
    """A text as whole words one after another, whatever their case and the signs between them; a number in any
    usual spelling of its digits."""
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
    """The beginnings of the words that say what it is about."""
    every = in_order(normalize(text))
    return {word[:_STEM] for word in every if (len(word) >= _CONTENT or word.isdigit()) and word not in _ASKING}


def is_related(question: str, answer: str, passage: Passage) -> bool:
    """Most of the question's words of content stand in the passage or its title, and one in the answer."""
    asked = content(question)
    held = asked & (content(passage.text) | content(passage.title))
    return len(held) >= _RELATED * len(asked) and bool(asked & content(answer))


def is_looping(question: str) -> bool:
    """Whether it says a word over and over, as small models do that do not find an end."""
    counts = Counter(word for word in in_order(normalize(question)) if len(word) >= _CONTENT)
    return max(counts.values(), default=0) > _OFTEN


def gives_away(question: str, answer: str) -> bool:
    told = content(answer)
    return bool(told) and len(told & content(question)) >= _TOLD * len(told)


def copied(value: Any, schema: Any, root: Any = None) -> Iterator[tuple[str, str | float]]:
    """The texts and numbers of a JSON value that its schema lists nowhere, each with its place. What comes from
    a closed list is a class, and need not stand in a text word for word. root: the whole schema, where this is
    a part of it."""
    yield from _copied(value, schema, schema if root is None else root, "")


def _copied(value: Any, schema: Any, root: Any, place: str) -> Iterator[tuple[str, str | float]]:
    schema = _followed(schema, root)
    if "enum" in schema or "const" in schema or value is None or isinstance(value, bool):
        return
    if isinstance(value, dict):
        inner = schema.get("properties") or {}
        for key, one in value.items():
            yield from _copied(one, inner.get(key), root, f"{place}.{key}" if place else key)
    elif isinstance(value, list):
        for one in value:
            yield from _copied(one, schema.get("items"), root, f"{place}[]")
    else:
        yield place or "the value", value


def _followed(schema: Any, root: Any) -> dict[str, Any]:
    """Behind local references; empty where the schema does not say."""
    for _ in range(8):
        reference = schema.get("$ref") if isinstance(schema, dict) else None
        if not isinstance(reference, str):
            break
        schema = root
        for step in reference.split("/")[1:]:
            schema = schema.get(step) if isinstance(schema, dict) else None
    return schema if isinstance(schema, dict) else {}
