"""truncated: a text that ends in the middle of a sentence, where the others do not."""

from __future__ import annotations

import re
from collections.abc import Iterator

from tinsmith.prepare.check import Check, Finding, drop
from tinsmith.prepare.check.rows import Data

_WORDS = 8  # of a text that has sentences
_SHARE = 0.8  # of these texts: those that end where a sentence does
_ENDS = re.compile(r"[.!?…:;\"'”’»)\]}>|`*。！？」』।]\s*\Z")


class Truncated(Check):
    name, severity = "truncated", "warning"
    title = "outputs that end in the middle"
    advice = "write the end, or delete the row; look whether a limit on length cut them"

    def needs(self, data: Data) -> str:
        return "" if data.task.is_free else f"an output of the task {data.task.name} that is cut is invalid"

    def find(self, data: Data) -> Iterator[Finding]:
        long = [i for i, row in enumerate(data.rows) if len(row.example.output.split()) >= _WORDS]
        cut = [i for i in long if not _ENDS.search(data.rows[i].example.output)]
        open_ = [i for i in long if data.rows[i].example.output.count("```") % 2]
        if len(cut) <= (1 - _SHARE) * len(long):
            open_ = sorted({*open_, *cut})
        for i in open_:
            yield self.at(data, i, f'the output ends with "…{data.rows[i].example.output[-40:]}"', drop())


check = Truncated()
