"""ungrounded: a value that the input lacks, of a field whose values are copied from the input.

A field copies if the inputs contain nearly all of its values. A field with a closed list of values ("on",
"light") does not."""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterator

from tinsmith.data.leaves import Leaf
from tinsmith.data.slots import Statistics, argument, key, title
from tinsmith.prepare.check import DROP, Check, Finding
from tinsmith.prepare.check._texts import quoted
from tinsmith.prepare.check.rows import Data

# Least share of values in the inputs: of the field, or of all fields of its name; and then of the field's own.
_COPIES, _SOME = 0.95, 0.75
_DISTINCT = 3
_FRACTION = re.compile(r"(?<!\d)\d++\s?/\s?\d+")


class Ungrounded(Check):
    name, severity = "ungrounded", "warning"
    title = "values that the input lacks"
    advice = "correct the value; otherwise the model learns to invent values"

    def needs(self, data: Data) -> str:
        return "" if data.task.has_values else f"the task {data.task.name} copies nothing"

    def find(self, data: Data) -> Iterator[Finding]:
        found = [
            one
            for i, row in enumerate(data.rows)
            if data.values[i] is not None and not row.example.images
            for one in _leaves(i, row.example.prompt, data.task.values(row.example.output))
        ]
        statistics: dict[object, Statistics] = defaultdict(Statistics)
        for _, leaf, occurs in found:
            for name in _names(leaf):
                statistics[name].add(leaf.value, occurs)
        for i, leaf, occurs in found:
            own, alike = (statistics[name] for name in _names(leaf))
            shares = [one.copied / one.rows for one in (own, alike) if len(one.values) >= _DISTINCT]
            copies = max(shares, default=0.0) >= _COPIES and own.copied >= _SOME * own.rows
            if not occurs and copies:
                message = (
                    f"{title(leaf.path)} is {quoted(str(leaf.value))}, which the input does not say: "
                    f"{quoted(data.rows[i].example.input)}"
                )
                yield self.at(data, i, message, DROP)


CHECKS = (Ungrounded(),)


def _names(leaf: Leaf) -> tuple[object, object]:
    """The field, and all fields of the same name."""
    return argument(leaf), (key(leaf.path), isinstance(leaf.value, str))


def _leaves(row: int, text: str, leaves: list[Leaf]) -> Iterator[tuple[int, Leaf, bool]]:
    """Row, value and whether the text contains it. Other numbers are left out, unless the text has a number
    that no value has: they may be in words, or in another unit ("1/2 an hour")."""
    plain = _plain(text)
    stated = {digits for leaf in leaves for digits in re.findall(r"\d+", str(leaf.value))}
    more = not stated.issuperset(re.findall(r"\d+", _FRACTION.sub(" ", text)))
    for leaf in leaves:
        occurs = _occurs(leaf, plain)
        if occurs or more or isinstance(leaf.value, str):
            yield row, leaf, occurs


def _plain(text: str) -> str:
    """Letters and digits alone, without accents."""
    decomposed = unicodedata.normalize("NFKD", text).casefold()
    return re.sub(r"[\W_]+", "", decomposed)


def _occurs(leaf: Leaf, text: str) -> bool:
    value = leaf.value
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return _plain(str(value).lstrip("-")) in text
