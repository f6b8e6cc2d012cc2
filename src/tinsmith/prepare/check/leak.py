"""leak: a training example that is one of the test or validation set, or nearly one."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from tinsmith.data.splits import SPLITS
from tinsmith.prepare.check import Check, Finding, Severity, drop
from tinsmith.prepare.check._near import pairs
from tinsmith.prepare.check._texts import asked
from tinsmith.prepare.check.rows import Data


class Leak(Check):
    name, severity = "leak", "error"
    title = "examples of one split that stand in another"
    advice = "take them out of the split that is learned from; else the test measures memory"
    repeats = True

    def needs(self, data: Data) -> str:
        return "" if len({row.split for row in data.rows}) > 1 else "there is one split; give --test FILE"

    def find(self, data: Data) -> Iterator[Finding]:
        held: dict[int, list[tuple[int, str]]] = defaultdict(list)
        for row, other, word in (*self._same(data), *self._near(data)):
            held[row].append((other, word))
        for row, found in sorted(held.items()):
            other, word = found[0]
            there = data.rows[other]
            message = f"{asked(data.rows[row].example)} {word} the {there.split} example at {there.where}"
            also = tuple(dict.fromkeys(data.rows[one].where for one, _ in found))
            severity: Severity = "error" if word == "is" else "warning"
            yield self.at(data, row, message, drop(), also=also, severity=severity)

    def _same(self, data: Data) -> Iterator[tuple[int, int, str]]:
        """Whatever their outputs are."""
        groups: dict[str, list[int]] = defaultdict(list)
        for i, text in enumerate(data.folded):
            groups[text].append(i)
        for rows in groups.values():
            ranks = [_rank(data, row) for row in rows]
            ordered = list(zip(rows, ranks, strict=True))
            last = {own: next((row for row, rank in reversed(ordered) if rank > own), None) for own in {*ranks}}
            yield from ((row, other, "is") for row, own in ordered if (other := last[own]) is not None)

    def _near(self, data: Data) -> Iterator[tuple[int, int, str]]:
        for pair in pairs(data):
            row, other = sorted((pair.first, pair.second), key=lambda i: _rank(data, i))
            if not pair.same and _rank(data, row) < _rank(data, other):
                yield row, other, "is nearly"


def _rank(data: Data, row: int) -> int:
    """Splits in the order in which they give way to the next."""
    return SPLITS.index(data.rows[row].split)


check = Leak()
