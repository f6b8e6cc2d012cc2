"""contradiction: the same input with another output."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from itertools import islice

from tinsmith.prepare.check import NAMED, Check, Finding, drop
from tinsmith.prepare.check._texts import asked, quoted
from tinsmith.prepare.check.label_typo import meant
from tinsmith.prepare.check.rows import Data, answer

_MOST = 0.5  # the share above which one of several answers is taken for the right one


class Contradiction(Check):
    name, severity = "contradiction", "error"
    title = "the same input with another output"
    advice = "decide which output is right; list others that are as good in `accept`"

    def needs(self, data: Data) -> str:
        return "a text may have many right answers" if data.task.is_free else ""

    def find(self, data: Data) -> Iterator[Finding]:
        groups: dict[str, list[int]] = defaultdict(list)
        typos = meant(data)
        for i, text in enumerate(data.folded):
            # A label that is nearly another is a fault of its own.
            if data.values[i] is not None and data.labels[i] not in typos:
                groups[text].append(i)
        for rows in groups.values():
            answers = [answer(data, i) for i in rows]
            counts = Counter(answers)
            if len(counts) < 2:
                continue
            best, most = counts.most_common(1)[0]
            right = best if most > _MOST * len(rows) else None
            given = dict(zip(rows, answers, strict=True))
            for i, own in given.items():
                if own == right:
                    continue
                others = (j for j in rows if given[j] != own and not _as_good(data, i, j))
                if first := list(islice(others, NAMED)):
                    yield self._found(data, i, first, right is not None)

    def _found(self, data: Data, row: int, others: list[int], is_minority: bool) -> Finding:
        first, also = data.rows[others[0]], tuple(data.rows[other].where for other in others)
        most = "which most have, " if is_minority else ""
        message = (
            f"{asked(data.rows[row].example)} is answered {quoted(data.rows[row].example.output)}, and "
            f"{quoted(first.example.output)}, {most}at {first.where}"
        )
        return self.at(data, row, message, drop(), also=also)


def _as_good(data: Data, a: int, b: int) -> bool:
    one, other = data.rows[a].example, data.rows[b].example
    return one.output in other.accept or other.output in one.accept


check = Contradiction()
