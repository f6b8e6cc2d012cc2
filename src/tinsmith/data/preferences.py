"""Reads preferences: JSON lines of pairs or of ratings.

{"input": "lights on", "chosen": "{\"name\": …}", "rejected": "{\"name\": …}"}
{"input": "lights on", "output": "{\"name\": …}", "good": true}
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from tinsmith.data.readers import Where, rows_of, text_of
from tinsmith.errors import DataError
from tinsmith.system import reading

_PAIR = 'each line is one object such as {"input": "…", "chosen": "…", "rejected": "…"}'
_RATING = 'each line is one object such as {"input": "…", "output": "…", "good": true}'


@dataclass(frozen=True)
class Preference:
    """outputs: for the input: the chosen and the rejected one of a pair, or one with its rating `good`."""

    input: str
    outputs: tuple[str, ...]
    good: bool = True
    where: Where | None = field(default=None, compare=False)

    @property
    def wanted(self) -> str | None:
        return self.outputs[0] if self.good else None


def read_pairs(path: str | Path) -> list[Preference]:
    """Raises DataError, with file and line, for a line that is no pair, a pair of equal outputs, and pairs that
    contradict each other."""
    path = Path(path)
    pairs: list[Preference] = []
    preferred: dict[tuple[str, str, str], Where] = {}
    keys, needs = ("input", "chosen", "rejected"), 'a pair needs "input", "chosen" and "rejected"'
    for where, row in rows_of(path, keys, _PAIR, _PAIR):
        prompt, chosen, rejected = (text_of(row, key, where, needs) for key in keys)
        if chosen == rejected:
            raise DataError(f"{where}: chosen and rejected are the same; a pair needs a better and a worse one")
        if opposite := preferred.get((prompt, rejected, chosen)):
            raise DataError(f"{where}: prefers what {opposite.place} rejects; leave out one of the two")
        preferred.setdefault((prompt, chosen, rejected), where)
        pairs.append(Preference(prompt, (chosen, rejected), where=where))
    if not pairs:
        raise DataError(f"{path}: holds no pair; {_PAIR}")
    return pairs


def read_ratings(path: str | Path) -> list[Preference]:
    """Raises DataError, with file and line, for a line that is no rating, ratings that contradict each other,
    and a file without good or without bad outputs."""
    path = Path(path)
    ratings: list[Preference] = []
    known: dict[tuple[str, str], Preference] = {}
    needs = 'a rating needs "input", "output" and "good"'
    for where, row in rows_of(path, ("input", "output", "good"), _RATING, _RATING):
        prompt, output = (text_of(row, key, where, needs) for key in ("input", "output"))
        if not isinstance(row.get("good"), bool):
            got = f"got {reading.kind(row['good'])}" if "good" in row else "it is missing"
            raise DataError(f'{where}: "good" must be true or false, {got}')
        rating = Preference(prompt, (output,), row["good"], where)
        first = known.setdefault((prompt, output), rating)
        if first != rating and first.where:
            raise DataError(f"{where}: says the opposite of {first.where.place}; leave out one of the two")
        ratings.append(rating)
    for good in (True, False):
        if not any(rating.good == good for rating in ratings):
            raise DataError(
                f'{path}: holds no row with "good": {str(good).lower()}; it takes rows of both kinds'
            )
    return ratings
