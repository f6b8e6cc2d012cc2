"""CSV and TSV with a header line (RFC 4180). A .csv file's separator is the most frequent one in its header."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterator
from itertools import count, repeat
from pathlib import Path

from tinsmith.data.containers import Container, Row
from tinsmith.data.readers import Where, decoded
from tinsmith.errors import DataError
from tinsmith.system import reading

_SEPARATORS = ",;\t|"
_CELL = 1 << 24  # characters of a cell


def rows(path: Path) -> Iterator[Row]:
    first = next(filter(str.strip, _lines(path)), "")
    counts = Counter("".join(first.split('"')[::2]))  # outside of quotes
    separator = max(_SEPARATORS, key=lambda one: counts[one]) if path.suffix.lower() == ".csv" else "\t"
    records = _records(path, separator)
    names = _header(path, next(records, None))
    for where, cells in records:
        if isinstance(cells, DataError):
            yield Row(where, cells)
        elif len(cells) != len(names):
            yield Row(where, _ragged(where, cells, names, separator))
        else:
            yield Row(where, dict(zip(names, cells, strict=True)))


CONTAINERS = (Container("CSV", (".csv", ".tsv", ".tab"), rows),)
_Record = tuple[Where, list[str] | DataError]


def _lines(path: Path) -> Iterator[str]:
    """Continues after the DataError of a line that is no text."""
    return map(decoded, reading.lines(path, DataError), repeat(path), count(1))


def _header(path: Path, record: _Record | None) -> list[str]:
    """The column names."""
    if record is None:
        raise DataError(f"{path}: is empty; the first line names the columns, each other one is a row")
    where, cells = record
    if isinstance(cells, DataError):
        raise cells
    names = [name.strip() or f"column {number}" for number, name in enumerate(cells, 1)]
    twice = next((name for name, uses in Counter(names).items() if uses > 1), None)
    if twice is not None:
        raise DataError(f'{where}: the header has the column "{twice}" twice; rename one of them')
    return names


def _records(path: Path, separator: str) -> Iterator[_Record]:
    """Where each record begins, and its cells; blank records are skipped."""
    csv.field_size_limit(_CELL)
    records = csv.reader(_lines(path), delimiter=separator, strict=True)
    faults = 0  # lines that are no text, which the reader does not count
    while True:
        where = Where(str(path), records.line_num + faults + 1)
        try:
            cells = next(records)
        except StopIteration:
            return
        except csv.Error as error:
            known = (reason for part, reason in _REASONS.items() if part in str(error))
            yield where, DataError(f"{where}: {next(known, f'not CSV: {error}')}")
        except DataError as fault:
            faults += 1
            where = Where(str(path), records.line_num + faults)
            if f"{where}:" not in str(fault):
                raise
            yield where, fault
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
