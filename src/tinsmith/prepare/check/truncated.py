"""truncated: a text that ends in the middle of a sentence, where the others do not."""

from __future__ import annotations

import re
from collections.abc import Iterator

from tinsmith.prepare.check import Check, Finding, drop
from tinsmith.prepare.check.rows import Data

_WORDS = 8  # least words of a text with sentences
_SHARE = 0.8  # least share of such texts that end with a sentence
_ENDS = re.compile(r"[.!?…:;\"'”’»)\]}>|`*。！？」』।]\s*\Z")


class Truncated(Check):
    name, severity = "truncated", "warning"
    title = "outputs that end in the middle"
    advice = "complete the text, or delete the row; check whether a length limit cut it"

    def needs(self, data: Data) -> str:
        return "" if data.task.is_free else f"an output of the task {data.task.name} that is cut is invalid"

    def find(self, data: Data) -> Iterator[Finding]:
        long = [i for i, row in enumerate(data.rows) if len(row.example.output.split()) >= _WORDS]
        cut = [i for i in long if not _ENDS.search(data.rows[i].example.output)]
        found = {i for i in long if data.rows[i].example.output.count("```") % 2}  # an open fence
        if len(cut) <= (1 - _SHARE) * len(long):
            found.update(cut)
        for i in sorted(found):
            yield self.at(data, i, f'the output ends with "…{data.rows[i].example.output[-40:]}"', drop())


CHECKS = (Truncated(),)
