"""leak, image_leak: a training example or image that also is, or nearly is, in the test or validation set."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import ClassVar

from tinsmith.data.splits import SPLITS
from tinsmith.prepare.check import Check, Finding, Severity, drop
from tinsmith.prepare.check._near import pairs
from tinsmith.prepare.check._texts import quoted_input
from tinsmith.prepare.check.image import Sketch, images, near
from tinsmith.prepare.check.rows import Data

IS, NEARLY = "is", "is nearly"
Match = tuple[int, int, str]  # a row, the row of a later split that it repeats, and IS or NEARLY


class Leak(Check):
    name, severity = "leak", "error"
    title = "examples that occur in two splits"
    advice = "remove them from the training split; otherwise the test measures memory"
    repeats = True
    article: ClassVar[str] = "the"

    def needs(self, data: Data) -> str:
        return "" if len({row.split for row in data.rows}) > 1 else "there is one split; give --test FILE"

    def find(self, data: Data) -> Iterator[Finding]:
        found: dict[int, list[tuple[int, str]]] = defaultdict(list)
        for row, other, word in self.matches(data):
            found[row].append((other, word))
        for row, matches in sorted(found.items()):
            other, word = matches[0]
            there = data.rows[other]
            message = (
                f"{self.described(data, row)} {word} {self.article} {there.split} example at {there.where}"
            )
            also = tuple(dict.fromkeys(data.rows[one].where for one, _ in matches))
            severity: Severity = "error" if word == IS else "warning"
            yield self.at(data, row, message, drop(), also=also, severity=severity)

    def described(self, data: Data, row: int) -> str:
        return quoted_input(data.rows[row].example)

    def matches(self, data: Data) -> Iterator[Match]:
        """Equal inputs whatever their outputs, then near-duplicates."""
        groups: dict[str, list[int]] = defaultdict(list)
        for i, text in enumerate(data.folded):
            groups[text].append(i)
        for rows in groups.values():
            last = {_rank(data, row): row for row in rows}
            for row in rows:
                later = [rank for rank in last if rank > _rank(data, row)]
                if later:
                    yield row, max(last[rank] for rank in later), IS
        for pair in pairs(data):
            row, other = sorted((pair.first, pair.second), key=lambda i: _rank(data, i))
            if not pair.same and _rank(data, row) < _rank(data, other):
                yield row, other, NEARLY


class ImageLeak(Leak):
    name = "image_leak"
    title = "images that occur in two splits"
    explained_by = ("leak",)
    article = "an image of the"

    def described(self, data: Data, row: int) -> str:
        return ", ".join(image.name for image in data.rows[row].example.images)

    def matches(self, data: Data) -> Iterator[Match]:
        sketches = images(data).sketches
        for one in sketches:
            yield from _matches(data, one, one, IS)
        for one, other in near(sketches):
            yield from _matches(data, one, other, NEARLY)
            yield from _matches(data, other, one, NEARLY)


CHECKS = (Leak(), ImageLeak())


def _matches(data: Data, one: Sketch, other: Sketch, word: str) -> Iterator[Match]:
    """Each row of one image with the first row of a later split that shows the other."""
    ranks = {_rank(data, row) for row in one.rows}
    later = {own: next((i for i in other.rows if _rank(data, i) > own), None) for own in ranks}
    for row in one.rows:
        if (first := later[_rank(data, row)]) is not None:
            yield row, first, word


def _rank(data: Data, row: int) -> int:
    """The split's index; rows give way to equal ones of later splits."""
    return SPLITS.index(data.rows[row].split)
