"""near_duplicate: an example that is another one of its split but for a word or a letter."""

from __future__ import annotations

from collections.abc import Iterator

from tinsmith.prepare.check import Check, Finding, drop
from tinsmith.prepare.check._near import pairs
from tinsmith.prepare.check._texts import asked
from tinsmith.prepare.check.rows import Data


class NearDuplicate(Check):
    name, severity = "near_duplicate", "warning"
    title = "examples that are another one but for a word or a letter"
    advice = "keep one of each; they teach little and flatter a validation set"
    explained_by = ("duplicate", "leak")
    repeats = True

    def find(self, data: Data) -> Iterator[Finding]:
        seen = set()
        for pair in pairs(data):
            first, second = data.rows[pair.first], data.rows[pair.second]
            if not pair.same and first.split == second.split and pair.second not in seen:
                seen.add(pair.second)
                message = f"{asked(second.example)} is nearly {asked(first.example)} at {first.where}"
                yield self.at(data, pair.second, message, drop(), also=(first.where,))


check = NearDuplicate()
