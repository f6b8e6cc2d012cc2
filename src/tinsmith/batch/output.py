"""Writes OUT from the JSON lines of OUT.part, and reads OUT. CSV and Parquet have IN's columns, then the
answers'."""

from __future__ import annotations

import csv
import hashlib
import io
import json
from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

from tinsmith.batch import openai
from tinsmith.batch.items import Items
from tinsmith.batch.settings import Settings
from tinsmith.data import containers
from tinsmith.errors import DataError, InputError, MissingExtraError
from tinsmith.system import files, reading

LINES, TABLES = (".jsonl", ".ndjson"), (".csv", ".parquet")
ANSWER = ("item", "text", "finish", "receipt", "value", "error")  # columns, in their order
_ROWS = 1024  # of a Parquet file in memory at a time


def check(out: Path, items: Items, order: bool) -> None:
    """Raises InputError for an impossible OUT, before computing anything."""
    suffix = out.suffix.lower()
    if suffix not in (*LINES, *TABLES):
        raise InputError(f"{out}: unknown suffix; give one of {', '.join((*LINES, *TABLES))}")
    if suffix in TABLES and items.settings.shape == "openai":
        raise InputError(f"{out}: OpenAI's format is JSON lines; name OUT .jsonl, or give --shape rows")
    if suffix in TABLES and not order:
        raise InputError(f"{out}: a table has IN's columns, in IN's order; leave --unordered out")
    if suffix in TABLES:
        _columns(items)
    if suffix == ".parquet":
        try:
            import pyarrow.parquet  # noqa: F401
        except ImportError:
            raise MissingExtraError("pyarrow", "data") from None


def finish(items: Items, part: Path, out: Path) -> None:
    """Makes OUT from OUT.part, which it removes."""
    if out.suffix.lower() in LINES:
        files.replace(part, out)
        return
    table = _csv if out.suffix.lower() == ".csv" else _parquet
    with files.atomic_write(out) as file:
        table(items, part, file)
    part.unlink()


def _joined(items: Items, part: Path) -> Iterator[dict[str, Any]]:
    """IN's rows with their answers."""
    answers = (reading.json(line, part, line=number) for number, line in enumerate(reading.lines(part), 1))
    for (_, row), answer in zip(items.rows(), answers, strict=True):
        values = {} if isinstance(row.values, DataError) else row.values
        yield {**values, **answer}


def _columns(items: Items) -> tuple[str, ...]:
    """IN's columns, then an answer's."""
    taken = next((name for name in items.header if name in ANSWER), None)
    if taken is not None:
        raise InputError(f'{items.path}: "{taken}" is also a column of answers; rename it, or name OUT .jsonl')
    more = ANSWER if items.settings.task is not None else tuple(name for name in ANSWER if name != "value")
    return (*items.header, *more)


def as_text(value: Any) -> str | None:
    """A table's cell."""
    if value is None or isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False, default=str)


def _csv(items: Items, part: Path, file: Any) -> None:
    columns = _columns(items)
    text = io.TextIOWrapper(file, encoding="utf-8", newline="", write_through=True)
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerow(columns)
    for row in _joined(items, part):
        writer.writerow(["" if (one := as_text(row.get(name))) is None else one for name in columns])
    text.detach()  # the caller closes the file


def _parquet(items: Items, part: Path, file: Any) -> None:
    """Writes columns as texts; those of a Parquet IN keep their types."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns, known = _columns(items), {}
    if items.path.suffix.lower() == ".parquet":
        known = {one.name: one.type for one in pq.read_schema(items.path)}
    known["item"] = pa.string() if items.layout == "openai" else pa.int64()
    schema = pa.schema([(name, known.get(name, pa.string())) for name in columns])
    rows = _joined(items, part)
    with pq.ParquetWriter(file, schema) as writer:
        while some := list(islice(rows, _ROWS)):
            table = {
                name: [row.get(name) if name in known else as_text(row.get(name)) for row in some]
                for name in columns
            }
            try:
                writer.write_table(pa.table(table, schema=schema))
            except pa.ArrowException as error:
                raise DataError(f"{items.path}: {str(error).splitlines()[0]}; name OUT .jsonl") from None


def read(out: Path, settings: Settings) -> Iterator[dict[str, Any]]:
    """OUT's rows: item, and text, finish, receipt or error."""
    if out.suffix.lower() in TABLES:
        for row in containers.of_file(out).rows(out):
            if isinstance(row.values, DataError):
                raise row.values
            yield _of_table(row.values, out)
        return
    for number, line in enumerate(reading.lines(out), 1):
        yield row_of(line, out, settings, number)


def row_of(line: bytes, out: Path, settings: Settings, number: int | None = None) -> dict[str, Any]:
    row = reading.json(line, out, line=number, unique=True)
    if not isinstance(row, dict) or ("item" not in row and settings.shape != "openai"):
        raise DataError(f'{out}:{number}: not a row of tinsmith batch: no object with "item"')
    return openai.read(row) if settings.shape == "openai" else row


def replaced(out: Path, lines: Mapping[int, bytes]) -> str:
    """Replaces lines of OUT, by their numbers from 0. Returns the new SHA-256."""
    digest = hashlib.sha256()
    with files.atomic_write(out) as file:
        for number, line in enumerate(reading.lines(out)):
            new = lines.get(number, line)
            digest.update(new)
            file.write(new)
    return digest.hexdigest()


def _of_table(values: Mapping[str, Any], out: Path) -> dict[str, Any]:
    if "item" not in values:
        raise DataError(f'{out}: not an OUT of tinsmith batch: no column "item"')
    row = {"item": values["item"]}
    if values.get("error"):
        return {**row, "error": values["error"]}
    names = [name for name in ("text", "finish", "receipt", "value") if name in values]
    return {**row, **{name: values[name] or "" for name in names}}
