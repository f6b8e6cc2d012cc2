"""empty: an example without an input or an output."""

from __future__ import annotations

from collections.abc import Iterator

from tinsmith.prepare.check import Check, Finding, drop
from tinsmith.prepare.check.rows import Data


class Empty(Check):
    name, severity = "empty", "error"
    title = "empty inputs or outputs"
    advice = "write what is missing, or delete the row"

    def find(self, data: Data) -> Iterator[Finding]:
        for fault in data.faults:
            if fault.empty:
                yield Finding(self.name, self.severity, fault.where, fault.message, mend=drop())


check = Empty()
