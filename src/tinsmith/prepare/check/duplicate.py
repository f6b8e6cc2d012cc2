"""duplicate: an example that stands in its split more than once."""

from __future__ import annotations

from collections.abc import Iterator

from tinsmith.prepare.check import Check, Finding, drop
from tinsmith.prepare.check._near import pairs
from tinsmith.prepare.check._texts import asked
from tinsmith.prepare.check.rows import Data


class Duplicate(Check):
    name, severity = "duplicate", "warning"
    title = "examples that stand more than once in a split"
    advice = "keep one of each; what stands twice weighs twice"
    repeats = True

    def find(self, data: Data) -> Iterator[Finding]:
        seen = set()
        for pair in pairs(data):
            first, second = data.rows[pair.first], data.rows[pair.second]
            if pair.same and first.split == second.split and pair.second not in seen:
                seen.add(pair.second)
                message = f"{asked(second.example)} stands at {first.where} too, with the same output"
                yield self.at(data, pair.second, message, drop(), also=(first.where,))


check = Duplicate()
