"""ungrounded: a value that the input does not hold, of a field whose values are copied from it.

Which fields copy is seen from the data: those of whose values nearly all stand in their inputs. A field with a
closed list of values ("on", "light") is none of them.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterator

from tinsmith.data.leaves import Leaf
from tinsmith.data.slots import argument, key, title
from tinsmith.prepare.check import Check, Finding, drop
from tinsmith.prepare.check._texts import quoted
from tinsmith.prepare.check.rows import Data

# The share of a field's values that must stand in the inputs: of the field's own, or of those of all fields of
# its name, and then some of its own.
_COPIES, _SOME = 0.95, 0.75
_DISTINCT = 3
_FRACTION = re.compile(r"(?<!\d)\d++\s?/\s?\d+")


class Ungrounded(Check):
    name, severity = "ungrounded", "warning"
    title = "values that do not stand in the input"
    advice = "correct the value; what the input does not say is learned as something to make up"

    def needs(self, data: Data) -> str:
        return "" if data.task.has_values else f"the task {data.task.name} copies nothing"

    def find(self, data: Data) -> Iterator[Finding]:
        found = [
            one
            for i, row in enumerate(data.rows)
            if data.values[i] is not None and not row.example.images
            for one in _leaves(i, row.example.asked, data.task.values(row.example.output))
        ]
        seen: Counter[object] = Counter()
        stand: Counter[object] = Counter()
        distinct: dict[object, set[object]] = {}
        for _, leaf, stands in found:
            for name in (argument(leaf), (key(leaf.path), isinstance(leaf.value, str))):
                seen[name] += 1
                stand[name] += stands
                distinct.setdefault(name, set()).add(leaf.value)
        for i, leaf, stands in found:
            own, alike = argument(leaf), (key(leaf.path), isinstance(leaf.value, str))
            shares = [stand[field] / seen[field] for field in (own, alike) if len(distinct[field]) >= _DISTINCT]
            copies = max(shares, default=0.0) >= _COPIES and stand[own] >= _SOME * seen[own]
            if not stands and copies:
                message = (
                    f"{title(leaf.path)} is {quoted(str(leaf.value))}, which the input does not say: "
                    f"{quoted(data.rows[i].example.input)}"
                )
                yield self.at(data, i, message, drop())


def _leaves(row: int, text: str, leaves: list[Leaf]) -> Iterator[tuple[int, Leaf, bool]]:
    """Row, value and whether it stands in the text. A number that does not is left out, unless the text has a
    number that no value states: it may be written in words, or be of another unit ("1/2 an hour")."""
    plain = _plain(text)
    stated = {digits for leaf in leaves for digits in re.findall(r"\d+", str(leaf.value))}
    more = not stated.issuperset(re.findall(r"\d+", _FRACTION.sub(" ", text)))
    for leaf in leaves:
        stands = _stands(leaf, plain)
        if stands or more or isinstance(leaf.value, str):
            yield row, leaf, stands


def _plain(text: str) -> str:
    """Letters and digits alone, without accents: a value may be spaced, cased or joined in another way."""
    decomposed = unicodedata.normalize("NFKD", text).casefold()
    return re.sub(r"[\W_]+", "", decomposed)


def _stands(leaf: Leaf, text: str) -> bool:
    value = leaf.value
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return _plain(str(value).lstrip("-")) in text


check = Ungrounded()
