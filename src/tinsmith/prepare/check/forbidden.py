"""forbidden: an output that the schema, tools, labels or grammar do not allow."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from tinsmith.prepare.check import Check, Finding, Mend, drop
from tinsmith.prepare.check._texts import changed, quoted
from tinsmith.prepare.check.rows import Data
from tinsmith.prepare.check.rules import place


class Forbidden(Check):
    name, severity = "forbidden", "error"
    title = "outputs that the constraint forbids"
    advice = "correct the value, or widen the schema: the model could never give this answer"
    explained_by = ("invalid", "label_typo", "encoding", "template")

    def needs(self, data: Data) -> str:
        known = data.rules is not None and data.rules.data is not None
        return "" if known else "no constraint is known; give --schema, --tools or --labels"

    def find(self, data: Data) -> Iterator[Finding]:
        rules = data.rules
        assert rules is not None
        for i, row in enumerate(data.rows):
            output = row.example.output
            departure, value = rules.departure(output), data.values[i]
            if departure is None:
                continue
            if not isinstance(value, dict | list):
                yield self.at(data, i, f"{quoted(output)} is not allowed: {departure}", drop())
                continue
            written = rules.written(value)
            departure = rules.departure(written)
            if departure is None:
                rewrite = partial(changed, name="output", text=written)
                message = f"the constraint writes {quoted(written)}, with other spacing or order of keys"
                mend = Mend("the output was written as the constraint has it", rewrite)
                yield self.at(data, i, message, mend)
                continue
            at = place(written, departure.at)
            subject = f"{at[0]}: {at[1]}" if at else quoted(written)
            yield self.at(data, i, f"{subject} is not allowed: {departure}", drop())


CHECKS = (Forbidden(),)
