"""forbidden: an output that the schema, the tools, the labels or the grammar do not allow."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

from tinsmith.data.readers import Example
from tinsmith.prepare.check import Check, Finding, Mend, drop
from tinsmith.prepare.check._texts import quoted
from tinsmith.prepare.check.rows import Data
from tinsmith.prepare.check.rules import place


class Forbidden(Check):
    name, severity = "forbidden", "error"
    title = "outputs that the constraint forbids"
    advice = "mend the value, or widen the schema: what is taught there could never be answered"
    explained_by = ("invalid", "label_typo", "encoding", "template")

    def needs(self, data: Data) -> str:
        known = data.rules is not None and data.rules.data is not None
        return "" if known else "nothing says what an answer may be; give --schema, --tools or --labels"

    def find(self, data: Data) -> Iterator[Finding]:
        rules = data.rules
        assert rules is not None
        for i, row in enumerate(data.rows):
            output = row.example.output
            departure = rules.departure(output)
            if departure is None:
                continue
            value = data.values[i]
            if not isinstance(value, dict | list):
                yield self.at(data, i, f"{quoted(output)} is not allowed: {departure.message}", drop())
                continue
            written = rules.written(value)
            departure = rules.departure(written)
            if departure is None:
                mend = Mend("the output was written as the constraint has it", _rewrite(written))
                message = f"the constraint writes {quoted(written)}, with other spacing or order of keys"
                yield self.at(data, i, message, mend)
                continue
            at = place(written, departure.at)
            value_at = f"{at[0]}: {at[1]} is not allowed" if at else f"{quoted(written)} is not allowed"
            yield self.at(data, i, f"{value_at}: {departure.message}", drop())


def _rewrite(written: str) -> Callable[[Example], Example]:
    return lambda example: replace(example, output=written)


check = Forbidden()
