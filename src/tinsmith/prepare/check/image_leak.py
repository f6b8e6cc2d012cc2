"""image_leak: an image that is learned from and stands in the test or validation set too, or nearly does."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from tinsmith.data.splits import SPLITS
from tinsmith.prepare.check import Check, Finding, Severity, drop
from tinsmith.prepare.check._images import Seen, looked, near
from tinsmith.prepare.check.rows import Data


class ImageLeak(Check):
    name, severity = "image_leak", "error"
    title = "images of one split that stand in another"
    advice = "take them out of the split that is learned from; else the test measures memory"
    explained_by = ("leak",)
    repeats = True

    def needs(self, data: Data) -> str:
        return "" if len({row.split for row in data.rows}) > 1 else "there is one split; give --test FILE"

    def find(self, data: Data) -> Iterator[Finding]:
        seen = looked(data).seen
        held: dict[int, list[tuple[int, str]]] = defaultdict(list)
        for one in seen:
            _join(data, held, one, one, "is")
        for one, other in near(seen):
            _join(data, held, one, other, "is nearly")
            _join(data, held, other, one, "is nearly")
        for row, found in sorted(held.items()):
            first, word = found[0]
            there = data.rows[first]
            message = f"{_names(data, row)} {word} an image of the {there.split} example at {there.where}"
            also = tuple(dict.fromkeys(data.rows[place].where for place, _ in found))
            severity: Severity = "error" if word == "is" else "warning"
            yield self.at(data, row, message, drop(), also=also, severity=severity)


def _join(data: Data, held: dict[int, list[tuple[int, str]]], one: Seen, other: Seen, word: str) -> None:
    """Each row that gives way to one of the other's rows, with the first of these."""
    ranks = {_rank(data, row) for row in one.rows}
    later = {own: next((i for i in other.rows if _rank(data, i) > own), None) for own in ranks}
    for row in one.rows:
        if (first := later[_rank(data, row)]) is not None:
            held[row].append((first, word))


def _rank(data: Data, row: int) -> int:
    """Splits in the order in which they give way to the next."""
    return SPLITS.index(data.rows[row].split)


def _names(data: Data, row: int) -> str:
    return ", ".join(image.name for image in data.rows[row].example.images)


check = ImageLeak()
