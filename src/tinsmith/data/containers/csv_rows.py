"""CSV and TSV with a header line (RFC 4180). A .csv file's separator is the most frequent one in its header."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from tinsmith.data.containers import Container, Row
from tinsmith.data.readers import Where, decoded
from tinsmith.errors import DataError
from tinsmith.system import reading

_SEPARATORS = ",;\t|"
_CELL = 1 << 24  # characters of a cell


def rows(path: Path) -> Iterator[Row]:
    lines = _Lines(path)
    separator, names = _header(path, lines, is_csv=path.suffix.lower() == ".csv")
    for where, cells in _records(path, lines, separator):
        if isinstance(cells, DataError):
            yield Row(where, cells)
        elif len(cells) != len(names):
            yield Row(where, _ragged(where, cells, names, separator))
        else:
            yield Row(where, dict(zip(names, cells, strict=True)))


CONTAINERS = (Container("CSV", (".csv", ".tsv", ".tab"), rows),)


class _Lines:
    """A file's lines as text, and the number of lines read."""

    def __init__(self, path: Path) -> None:
        self.path, self.read = path, 0
        self._lines = reading.lines(path, DataError)
        self._next: list[str] = []

    def __iter__(self) -> _Lines:
        return self

    def __next__(self) -> str:
        line = self._next.pop() if self._next else decoded(next(self._lines), self.path, self.read + 1)
        self.read += 1
        return line

    def first(self) -> str:
        """The first line that is not blank; it is read again."""
        line = next((line for line in self if line.strip()), "")
        if line:
            self._next.append(line)
            self.read -= 1
        return line


def _header(path: Path, lines: _Lines, *, is_csv: bool) -> tuple[str, list[str]]:
    """The separator and the column names."""
    first = lines.first()
    counts = Counter("".join(first.split('"')[::2]))  # outside of quotes
    separator = max(_SEPARATORS, key=lambda one: counts[one]) if is_csv else "\t"
    record = next(_records(path, lines, separator), None)
    if record is None:
        raise DataError(f"{path}: is empty; the first line names the columns, each other one is a row")
    where, cells = record
    if isinstance(cells, DataError):
        raise cells
    names = [name.strip() or f"column {number}" for number, name in enumerate(cells, 1)]
    twice = next((name for name, count in Counter(names).items() if count > 1), None)
    if twice is not None:
        raise DataError(f'{where}: the header has the column "{twice}" twice; rename one of them')
    return separator, names


def _records(path: Path, lines: _Lines, separator: str) -> Iterator[tuple[Where, list[str] | DataError]]:
    """Where each record begins, and its cells; blank records are skipped."""
    csv.field_size_limit(_CELL)
    records = csv.reader(lines, delimiter=separator, strict=True)
    while True:
        where = Where(str(path), lines.read + 1)
        try:
            cells = next(records)
        except StopIteration:
            return
        except csv.Error as error:
            known = (reason for part, reason in _REASONS.items() if part in str(error))
            yield where, DataError(f"{where}: {next(known, f'not CSV: {error}')}")
        except DataError as fault:
            if f"{path}:{lines.read + 1}:" not in str(fault):
                raise
            lines.read += 1
            yield Where(str(path), lines.read), fault
        else:
            if any(cell.strip() for cell in cells):
                yield where, cells


_REASONS = {  # by a part of the csv module's message
    "unexpected end of data": 'a quote (") that opens in this row is never closed',
    "field larger than": f"a cell is longer than {_CELL:,} characters; is a quote never closed?",
    "expected after": 'text follows a closing quote; inside a quoted cell write "" for each quote',
    "new-line character": "lines end in a carriage return alone, as of old Macs; save the file with line feeds",
}


def _ragged(where: Where, cells: list[str], names: list[str], separator: str) -> DataError:
    shown = "a tab" if separator == "\t" else f'"{separator}"'
    counts = f"has {len(cells)} cells where the header has {len(names)}"
    return DataError(f"{where}: {counts}; quote a cell that holds {shown}")
