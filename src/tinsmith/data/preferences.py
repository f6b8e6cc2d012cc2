"""Reads preferences: JSON lines of pairs, or of rated outputs.

{"input": "lights on", "chosen": "{\"name\": …}", "rejected": "{\"name\": …}"}
{"input": "lights on", "output": "{\"name\": …}", "good": true}
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tinsmith.data.readers import Where, lines, text_of
from tinsmith.errors import DataError
from tinsmith.system import reading

_PAIR = 'each line is one object such as {"input": "…", "chosen": "…", "rejected": "…"}'
_RATING = 'each line is one object such as {"input": "…", "output": "…", "good": true}'


@dataclass(frozen=True)
class Pair:
    """Two outputs for an input, the better one first; all stripped."""

    input: str
    chosen: str
    rejected: str
    where: Where | None = field(default=None, compare=False)

    @property
    def outputs(self) -> tuple[str, ...]:
        return self.chosen, self.rejected

    @property
    def wanted(self) -> str | None:
        return self.chosen


@dataclass(frozen=True)
class Rating:
    """An output for an input, and whether it is good."""

    input: str
    output: str
    good: bool
    where: Where | None = field(default=None, compare=False)

    @property
    def outputs(self) -> tuple[str, ...]:
        return (self.output,)

    @property
    def wanted(self) -> str | None:
        return self.output if self.good else None


Preference = Pair | Rating


def read_pairs(path: str | Path) -> list[Pair]:
    """Raises DataError, naming file and line, for what is no pair, for one whose outputs are the same, and for
    two that say the opposite of each other."""
    path = Path(path)
    pairs: list[Pair] = []
    preferred: dict[tuple[str, str, str], int] = {}
    needs = 'a pair needs "input", "chosen" and "rejected"'
    for number, where, row in _rows(path, ("input", "chosen", "rejected"), _PAIR):
        given, chosen, rejected = (text_of(row, key, where, needs) for key in ("input", "chosen", "rejected"))
        pair = Pair(given, chosen, rejected, Where(str(path), number))
        if pair.chosen == pair.rejected:
            raise DataError(f"{where}: chosen and rejected are the same; a pair needs a better and a worse one")
        opposite = preferred.get((pair.input, pair.rejected, pair.chosen))
        if opposite is not None:
            raise DataError(f"{where}: prefers what line {opposite} rejects; leave out one of the two")
        preferred.setdefault((pair.input, pair.chosen, pair.rejected), number)
        pairs.append(pair)
    if not pairs:
        raise DataError(f"{path}: holds no pair; {_PAIR}")
    return pairs


def read_ratings(path: str | Path) -> list[Rating]:
    """Raises DataError, naming file and line, for what is no rated output, for two ratings that say the
    opposite of each other, and for a file that holds no good output or no other."""
    path = Path(path)
    ratings: list[Rating] = []
    known: dict[tuple[str, str], tuple[bool, int]] = {}
    needs = 'a rating needs "input", "output" and "good"'
    for number, where, row in _rows(path, ("input", "output", "good"), _RATING):
        given, output = (text_of(row, key, where, needs) for key in ("input", "output"))
        if not isinstance(row.get("good"), bool):
            got = f"got {reading.kind(row['good'])}" if "good" in row else "it is missing"
            raise DataError(f'{where}: "good" must be true or false, {got}')
        good, first = known.setdefault((given, output), (row["good"], number))
        if good != row["good"]:
            raise DataError(f"{where}: says the opposite of line {first}; leave out one of the two")
        ratings.append(Rating(given, output, good, Where(str(path), number)))
    for good in (True, False):
        if not any(rating.good == good for rating in ratings):
            raise DataError(
                f'{path}: holds no row with "good": {str(good).lower()}; it takes rows of both kinds'
            )
    return ratings


def _rows(path: Path, keys: tuple[str, ...], form: str) -> Iterator[tuple[int, str, dict[str, Any]]]:
    """Line numbers, where each row stands in words, and the rows."""
    for number, line in lines(path):
        row = reading.json(line, str(path), DataError, line=number, unique=True, advice=form)
        where = f"{path}:{number}"
        if not isinstance(row, dict):
            raise DataError(f"{where}: got {reading.kind(row)}; {form}")
        for key in row:
            if key not in keys:
                raise DataError(f'{where}: unknown key "{key}"; {form}')
        yield number, where, row
