"""unreadable: a row that is no example."""

from __future__ import annotations

from collections.abc import Iterator

from tinsmith.prepare.check import Check, Finding, drop
from tinsmith.prepare.check.rows import Data


class Unreadable(Check):
    name, severity = "unreadable", "error"
    title = "rows that are no example"
    advice = "write each as the message says, or delete it"

    def find(self, data: Data) -> Iterator[Finding]:
        for fault in data.faults:
            if not fault.empty:
                yield Finding(self.name, self.severity, fault.where, fault.message, mend=drop())


check = Unreadable()
