"""Examples that repeat another one, in its split or in another, and equal inputs with other outputs."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from itertools import islice
from typing import ClassVar

from tinsmith.data.splits import SPLITS
from tinsmith.prepare.check import DROP, NAMED, Check, Finding, Severity
from tinsmith.prepare.check._near import pairs
from tinsmith.prepare.check._texts import quoted, quoted_input
from tinsmith.prepare.check.image import Sketch, images, near
from tinsmith.prepare.check.labels import typos
from tinsmith.prepare.check.rows import Data, answer


class Duplicate(Check):
    name, severity = "duplicate", "warning"
    title = "examples that occur more than once in a split"
    advice = "keep one of each; a duplicate counts twice in training"
    repeats = True
    same: ClassVar[bool] = True

    def find(self, data: Data) -> Iterator[Finding]:
        seen = set()
        for pair in pairs(data):
            first, second = data.rows[pair.first], data.rows[pair.second]
            if pair.same == self.same and first.split == second.split and pair.second not in seen:
                seen.add(pair.second)
                given, other = quoted_input(second.example), quoted_input(first.example)
                message = f"{given} is nearly {other} at {first.where}"
                if self.same:
                    message = f"{given} also occurs at {first.where}, with the same output"
                yield self.at(data, pair.second, message, DROP, also=(first.where,))


class NearDuplicate(Duplicate):
    name = "near_duplicate"
    title = "examples that differ from another in a word or a letter"
    advice = "keep one of each; they teach little and flatter a validation set"
    explained_by = ("duplicate", "leak")
    same = False


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
            yield self.at(data, row, message, DROP, also=also, severity=severity)

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
        sketches, _ = images(data)
        for one in sketches:
            yield from _matches(data, one, one, IS)
        for one, other in near(sketches):
            yield from _matches(data, one, other, NEARLY)
            yield from _matches(data, other, one, NEARLY)


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
        return self.at(data, row, message, DROP, also=tuple(data.rows[other].where for other in others))


def _as_good(data: Data, a: int, b: int) -> bool:
    one, other = data.rows[a].example, data.rows[b].example
    return one.output in other.accept or other.output in one.accept


CHECKS = (Duplicate(), NearDuplicate(), Leak(), ImageLeak(), Contradiction())
