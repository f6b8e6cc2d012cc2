"""JSON lines, and JSON files that hold one list of objects (or, whatever their name says, JSON lines)."""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator
from pathlib import Path

from tinsmith.data.containers import Container, Row
from tinsmith.data.readers import Where, decoded, parsed
from tinsmith.errors import DataError
from tinsmith.system import reading

_MARK = re.compile(r'[\\"\[\]{},]')
_PIECE = 1 << 16
_FORM = "a row is one JSON object"


def rows(path: Path) -> Iterator[Row]:
    is_list = path.suffix.lower() == ".json" and _begins(path) == "["
    return _list_rows(path) if is_list else _line_rows(path)


CONTAINERS = (Container("JSON", (".jsonl", ".ndjson", ".json"), rows),)


def _begins(path: Path) -> str:
    """The first character that is not white space; empty if there is none."""
    pieces = (piece.strip() for piece in reading.lines(path, DataError, piece=_PIECE))
    return next((piece[:1].decode("latin-1") for piece in pieces if piece), "")


def _line_rows(path: Path) -> Iterator[Row]:
    for number, line in enumerate(reading.lines(path, DataError), 1):
        if line.strip():
            where = Where(str(path), number)
            try:
                yield Row(where, parsed(decoded(line, path, number), where, _FORM))
            except DataError as fault:
                yield Row(where, fault)


def _list_rows(path: Path) -> Iterator[Row]:
    for number, text in enumerate(_elements(path), 1):
        where = Where(str(path), number, "row")
        try:
            yield Row(where, parsed(text, where, _FORM))
        except DataError as fault:
            yield Row(where, fault)


def _elements(path: Path) -> Iterator[str]:
    """The texts between the commas of the outermost list, for a JSON reader."""
    depth = skip = size = count = 0
    in_text = False
    parts: list[str] = []
    pieces = _pieces(path)
    for piece in pieces:
        begin = 0
        for match in _MARK.finditer(piece):
            at, mark = match.start(), match.group()
            if at < skip:
                continue
            if in_text:
                if mark == "\\":
                    skip = at + 2
                in_text = mark != '"'
            elif mark == '"':
                in_text = True
            elif mark in "[{":
                depth += 1
                begin = at + 1 if depth == 1 else begin
            elif mark != "," or depth == 1:
                depth -= mark != ","
                if depth == 0 or mark == ",":
                    element = "".join((*parts, piece[begin:at]))
                    if element.strip() or mark == "," or count:
                        yield element
                    parts, begin, size, count = [], at + 1, 0, count + 1
                if depth == 0:
                    if piece[at + 1 :].strip() or any(more.strip() for more in pieces):
                        raise DataError(f"{path}: text follows the list, after row {count}; leave it out")
                    return
        parts.append(piece[begin:])
        skip -= len(piece)
        size += len(piece) - begin
        if size > reading.LINE:
            raise DataError(f"{path}: row {count + 1} is longer than {reading.LINE:,} characters; break it up")
    raise DataError(f"{path}: the list is not closed, in row {count + 1}; the file was cut off")


def _pieces(path: Path) -> Iterator[str]:
    decoder = codecs.getincrementaldecoder("utf-8")()
    done = 0
    for raw in reading.lines(path, DataError, piece=_PIECE):
        try:
            yield decoder.decode(raw)
        except UnicodeDecodeError as error:
            at = done + error.start + 1
            raise DataError(f"{path}: byte {at} is not UTF-8; save the file as UTF-8") from None
        done += len(raw)
