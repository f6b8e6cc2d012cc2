"""contradiction: the same input with another output."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from itertools import islice

from tinsmith.prepare.check import NAMED, Check, Finding, drop
from tinsmith.prepare.check._texts import quoted, quoted_input
from tinsmith.prepare.check.label_typo import typos
from tinsmith.prepare.check.rows import Data, answer

_MOST = 0.5  # share above which the most frequent answer counts as right


class Contradiction(Check):
    name, severity = "contradiction", "error"
    title = "the same input with another output"
    advice = "decide which output is right; list others that are as good in `accept`"

    def needs(self, data: Data) -> str:
        return "a text may have many right answers" if data.task.is_free else ""

    def find(self, data: Data) -> Iterator[Finding]:
        groups: dict[str, list[int]] = defaultdict(list)
        misspelt = typos(data)  # which label_typo reports
        for i, text in enumerate(data.folded):
            if data.values[i] is not None and data.labels[i] not in misspelt:
                groups[text].append(i)
        for rows in groups.values():
            answers = {i: answer(data, i) for i in rows}
            best, most = Counter(answers.values()).most_common(1)[0]
            right = best if most > _MOST * len(rows) else None
            for i, own in answers.items():
                if own == right:
                    continue
                others = (j for j in rows if answers[j] != own and not _as_good(data, i, j))
                if first := list(islice(others, NAMED)):
                    yield self._found(data, i, first, right is not None)

    def _found(self, data: Data, row: int, others: list[int], is_minority: bool) -> Finding:
        one, first = data.rows[row], data.rows[others[0]]
        most = "which most have, " if is_minority else ""
        message = (
            f"{quoted_input(one.example)} is answered {quoted(one.example.output)}, and "
            f"{quoted(first.example.output)}, {most}at {first.where}"
        )
        return self.at(data, row, message, drop(), also=tuple(data.rows[other].where for other in others))


CHECKS = (Contradiction(),)


def _as_good(data: Data, a: int, b: int) -> bool:
    one, other = data.rows[a].example, data.rows[b].example
    return one.output in other.accept or other.output in one.accept
