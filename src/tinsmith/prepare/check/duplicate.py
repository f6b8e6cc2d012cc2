"""duplicate, near_duplicate: an example that repeats another one of its split, exactly or nearly."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from tinsmith.prepare.check import Check, Finding, drop
from tinsmith.prepare.check._near import pairs
from tinsmith.prepare.check._texts import quoted_input
from tinsmith.prepare.check.rows import Data


class Duplicate(Check):
    name, severity = "duplicate", "warning"
    title = "examples that occur more than once in a split"
    advice = "keep one of each; a duplicate counts twice in training"
    repeats = True
    same: ClassVar[bool] = True

    def find(self, data: Data) -> Iterator[Finding]:
        seen = set()
        for pair in pairs(data):
            first, second = data.rows[pair.first], data.rows[pair.second]
            if pair.same == self.same and first.split == second.split and pair.second not in seen:
                seen.add(pair.second)
                given, other = quoted_input(second.example), quoted_input(first.example)
                message = f"{given} is nearly {other} at {first.where}"
                if self.same:
                    message = f"{given} also occurs at {first.where}, with the same output"
                yield self.at(data, pair.second, message, drop(), also=(first.where,))


class NearDuplicate(Duplicate):
    name = "near_duplicate"
    title = "examples that differ from another in a word or a letter"
    advice = "keep one of each; they teach little and flatter a validation set"
    explained_by = ("duplicate", "leak")
    same = False


CHECKS = (Duplicate(), NearDuplicate())
