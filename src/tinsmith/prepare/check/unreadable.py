"""unreadable, empty: a row that is not an example, or one without an input or an output."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from tinsmith.prepare.check import Check, Finding, drop
from tinsmith.prepare.check.rows import Data


class Unreadable(Check):
    name, severity = "unreadable", "error"
    title = "rows that are not examples"
    advice = "correct each as its message says, or delete it"
    empty: ClassVar[bool] = False

    def find(self, data: Data) -> Iterator[Finding]:
        for fault in data.faults:
            if fault.empty == self.empty:
                yield Finding(self.name, self.severity, fault.where, fault.message, mend=drop())


class Empty(Unreadable):
    name = "empty"
    title = "empty inputs or outputs"
    advice = "add the missing text, or delete the row"
    empty = True


CHECKS = (Empty(), Unreadable())
