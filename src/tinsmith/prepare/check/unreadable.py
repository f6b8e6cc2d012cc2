"""Files that can't be read, and rows that are no examples or have more tokens than training takes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from tinsmith.prepare.check import DROP, Check, Finding
from tinsmith.prepare.check._texts import quoted_input
from tinsmith.prepare.check.rows import Data


class Refused(Check):
    name, severity = "refused", "error"
    title = "files and recipe keys that can't be used"
    advice = "correct each as its message says"

    def find(self, data: Data) -> Iterator[Finding]:
        for error in data.refused:
            where, _, fault = str(error).partition(": ")
            yield Finding(self.name, self.severity, where, fault)


class Unreadable(Check):
    name, severity = "unreadable", "error"
    title = "rows that are not examples"
    advice = "correct each as its message says, or delete it"
    empty: ClassVar[bool] = False

    def find(self, data: Data) -> Iterator[Finding]:
        for fault in data.faults:
            if fault.empty == self.empty:
                yield Finding(self.name, self.severity, fault.where, fault.message, mend=DROP)


class Empty(Unreadable):
    name = "empty"
    title = "empty inputs or outputs"
    advice = "add the missing text, or delete the row"
    empty = True


class TooLong(Check):
    name, severity = "too_long", "error"
    title = "examples with more tokens than max_length"
    advice = "shorten them, or raise [train] max_length, which takes memory and time"

    def needs(self, data: Data) -> str:
        return "" if data.base else "tokens are those of a base; give --base MODEL or a recipe"

    def find(self, data: Data) -> Iterator[Finding]:
        assert data.base
        for i, row in enumerate(data.rows):
            tokens = data.base.tokens(row.example, data.task)
            if tokens > data.length:
                message = f"{tokens:,} tokens, of at most {data.length:,}: {quoted_input(row.example)}"
                yield self.at(data, i, message, DROP)


CHECKS = (Refused(), Empty(), Unreadable(), TooLong())
