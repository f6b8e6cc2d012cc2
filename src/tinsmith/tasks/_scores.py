"""Precision, recall and F1 of what was answered against what was expected, as multisets of named values."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass

Named = tuple[str, Hashable]  # a row's name, and a value of it


@dataclass
class Counts:
    """right: answered and expected; answered, expected: all of them."""

    right: int = 0
    answered: int = 0
    expected: int = 0

    def scores(self) -> dict[str, float]:
        """A share of nothing is 0, as scikit-learn has it."""
        precision = self.right / self.answered if self.answered else 0.0
        recall = self.right / self.expected if self.expected else 0.0
        both = self.answered + self.expected
        return {"precision": precision, "recall": recall, "f1": 2 * self.right / both if both else 0.0}


def counted(pairs: Iterable[tuple[Iterable[Named], Iterable[Named]]]) -> dict[str, Counts]:
    """pairs: of each item, what was answered and what was expected; the counts are by row, in order of name."""
    rows: dict[str, Counts] = {}
    for answered, expected in pairs:
        given, wanted = Counter(answered), Counter(expected)
        for attribute, bag in (("right", given & wanted), ("answered", given), ("expected", wanted)):
            for (name, _), count in bag.items():
                row = rows.setdefault(name, Counts())
                setattr(row, attribute, getattr(row, attribute) + count)
    return dict(sorted(rows.items()))


def micro(rows: Mapping[str, Counts]) -> dict[str, float]:
    """Over all values alike."""
    every = rows.values()
    return Counts(
        sum(row.right for row in every), sum(row.answered for row in every), sum(row.expected for row in every)
    ).scores()


def macro_f1(rows: Mapping[str, Counts]) -> float:
    """The mean of the rows' F1: each row counts alike, however many values it has."""
    return mean([row.scores()["f1"] for row in rows.values()])


def table(rows: Mapping[str, Counts]) -> dict[str, dict[str, float]]:
    return {name: {**row.scores(), "expected": row.expected} for name, row in rows.items()}


def mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else 0.0
