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
from tinsmith.data.slots import ENOUGH, argument, key, title
from tinsmith.prepare.check import Check, Finding, drop
from tinsmith.prepare.check._texts import quoted
from tinsmith.prepare.check.rows import Data

_COPIES = 0.95  # of a field's values: the share that must stand in the inputs
_DISTINCT = 3


class Ungrounded(Check):
    name, severity = "ungrounded", "warning"
    title = "values that do not stand in the input"
    advice = "correct the value; what the input does not say is learned as something to make up"

    def needs(self, data: Data) -> str:
        return "" if data.task.has_values else f"the task {data.task.name} copies nothing"

    def find(self, data: Data) -> Iterator[Finding]:
        found: list[tuple[int, Leaf, bool]] = []
        for i, row in enumerate(data.rows):
            if data.values[i] is not None:
                text = _plain(row.example.input)
                for leaf in data.task.values(row.example.output):
                    # An input without digits may say a number in words.
                    if isinstance(leaf.value, str) or any(map(str.isdigit, text)):
                        found.append((i, leaf, _stands(leaf, text)))
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
            field: object = own if seen[own] >= ENOUGH else alike
            if not stands and stand[field] >= _COPIES * seen[field] and len(distinct[field]) >= _DISTINCT:
                message = (
                    f"{title(leaf.path)} is {quoted(str(leaf.value))}, which the input does not say: "
                    f"{quoted(data.rows[i].example.input)}"
                )
                yield self.at(data, i, message, drop())


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
