"""Parquet, and Arrow streams as `datasets` saves them. Labels that their schema numbers become their names."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from tinsmith.data.containers import Container, Row
from tinsmith.data.readers import Where
from tinsmith.errors import DataError, MissingExtraError

_BATCH = 256  # rows
_Name = Callable[[Any], Any]


class Arrow(Container):
    title = "Parquet"
    suffixes = (".parquet", ".arrow")

    def rows(self, path: Path) -> Iterator[Row]:
        try:
            import pyarrow as pa
        except ImportError:
            raise MissingExtraError("pyarrow", "data") from None
        number = 0
        try:
            schema, batches = _parquet(path) if path.suffix.lower() == ".parquet" else _stream(path)
            names = _label_names(path, schema.metadata)
            for batch in batches:
                for values in _values(batch, f"{path}: row {number + 1}"):
                    number += 1
                    named = {key: names[key](value) if key in names else value for key, value in values.items()}
                    yield Row(Where(str(path), number, "row"), named)
        except FileNotFoundError:
            raise DataError(f"{path}: no such file; check the path") from None
        except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
            after = f", after row {number}" if number else ""
            said = str(error).split("\n")[0]
            raise DataError(f"{path}: not a whole {self.title} file{after}: {said}; get it again") from None


def _values(batch: Any, where: str) -> list[dict[str, Any]]:
    """As Python's values. Raises DataError for a column that has none: durations in nanoseconds, far days."""
    try:
        return list(batch.to_pylist())
    except (ValueError, ArithmeticError) as error:
        for name, column in zip(batch.schema.names, batch.columns, strict=True):
            try:
                column.to_pylist()
            except (ValueError, ArithmeticError):
                said = str(error).split("\n")[0]
                raise DataError(f'{where}: "{name}" is {column.type}: {said}; save it as text') from None
        raise


def _parquet(path: Path) -> tuple[Any, Iterator[Any]]:
    import pyarrow.parquet as pq

    # What is read ahead would stay in memory, all of it.
    file = pq.ParquetFile(path, pre_buffer=False)
    return file.schema_arrow, file.iter_batches(batch_size=_BATCH, use_threads=False)


def _stream(path: Path) -> tuple[Any, Iterator[Any]]:
    """Arrow's stream format, or its file format, cut into batches of a few rows."""
    import pyarrow as pa

    source = pa.memory_map(str(path))
    try:
        reader: Any = pa.ipc.open_stream(source)
        batches: Iterator[Any] = iter(reader)
    except pa.ArrowInvalid:
        reader = pa.ipc.open_file(source)
        batches = (reader.get_batch(at) for at in range(reader.num_record_batches))
    cut = (batch.slice(at, _BATCH) for batch in batches for at in range(0, batch.num_rows, _BATCH))
    return reader.schema, cut


def _label_names(path: Path, metadata: dict[bytes, bytes] | None) -> dict[str, _Name]:
    """By column with numbered labels: what makes a number its name. -1 is a row without a label."""

    def named(names: list[str]) -> _Name:
        return lambda value: names[value] if isinstance(value, int) and 0 <= value < len(names) else None

    found: dict[str, _Name] = {}
    try:
        info = json.loads((metadata or {}).get(b"huggingface", b"{}"))
        for column, feature in (info.get("info", {}).get("features") or {}).items():
            inner = feature.get("feature") if isinstance(feature, dict) else None
            if isinstance(feature, dict) and feature.get("_type") == "ClassLabel":
                found[column] = named(list(feature["names"]))
            elif isinstance(inner, dict) and inner.get("_type") == "ClassLabel":
                found[column] = _each(named(list(inner["names"])))
    except (AttributeError, KeyError, TypeError, ValueError, RecursionError):
        raise DataError(f"{path}: what its schema says of labels is damaged; get the file again") from None
    return found


def _each(name: _Name) -> _Name:
    return lambda values: values and [name(value) for value in values]


container = Arrow()
