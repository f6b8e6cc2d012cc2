"""unshown: functions, arguments, fields or labels that an answer may have, and no example has."""

from __future__ import annotations

from collections.abc import Iterator

from tinsmith.data.splits import LEARNED
from tinsmith.prepare.check import Check, Finding
from tinsmith.prepare.check.rows import Data
from tinsmith.prepare.unshown import of_labels, of_schema, of_tools


class Unshown(Check):
    name, severity = "unshown", "note"
    title = "allowed answers that no example shows"
    advice = "write examples of them; a small model learns only from examples"

    def needs(self, data: Data) -> str:
        rules = data.rules
        known = rules and (rules.tools is not None or rules.schema is not None or rules.labels)
        return "" if known else "no constraint is known; give tools, a schema or labels"

    def find(self, data: Data) -> Iterator[Finding]:
        rules, learned = data.rules, [i for i, row in enumerate(data.rows) if row.split == LEARNED]
        assert rules
        if not learned:
            return
        values = [data.values[i] for i in learned]
        if rules.tools is not None:
            found = of_tools(rules.tools, values)
        elif rules.labels:
            found = of_labels(rules.labels, data.task.labels(data.rows[i].example.output for i in learned))
        else:
            found = of_schema(rules.schema, values)
        for line in found:
            yield Finding(self.name, self.severity, str(data.rows[learned[0]].path), line)


CHECKS = (Unshown(),)
