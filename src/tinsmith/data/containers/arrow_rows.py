"""Parquet, and Arrow streams as `datasets` saves them. Class labels become their names."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from tinsmith.data.containers import Container, Row
from tinsmith.data.readers import Where
from tinsmith.errors import DataError, MissingExtraError

SUFFIXES = (".parquet", ".arrow")
_BATCH = 256  # rows


def rows(path: Path) -> Iterator[Row]:
    try:
        import pyarrow as pa
    except ImportError:
        raise MissingExtraError("pyarrow", "data") from None
    number = 0
    try:
        schema, batches = _parquet(path) if path.suffix.lower() == ".parquet" else _stream(path)
        labels = _label_names(path, schema.metadata)
        for batch in batches:
            for values in _values(batch, f"{path}: row {number + 1}"):
                number += 1
                for column in labels.keys() & values.keys():
                    values[column] = _named(values[column], labels[column])
                yield Row(Where(str(path), number, "row"), values)
    except FileNotFoundError:
        raise DataError(f"{path}: no such file; check the path") from None
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        after = f", after row {number}" if number else ""
        reason = str(error).split("\n")[0]
        raise DataError(f"{path}: not a whole Parquet file{after}: {reason}; get it again") from None


CONTAINERS = (Container("Parquet", SUFFIXES, rows),)


def _values(batch: Any, where: str) -> list[dict[str, Any]]:
    """Rows of Python values. Raises DataError for a column without: durations in nanoseconds, distant dates."""
    columns = []
    for name, column in zip(batch.schema.names, batch.columns, strict=True):
        try:
            columns.append(column.to_pylist())
        except (ValueError, ArithmeticError) as error:
            reason = str(error).split("\n")[0]
            raise DataError(f'{where}: "{name}" is {column.type}: {reason}; save it as text') from None
    return [dict(zip(batch.schema.names, row, strict=True)) for row in zip(*columns, strict=True)]


def _parquet(path: Path) -> tuple[Any, Iterator[Any]]:
    import pyarrow.parquet as pq

    # A pre-buffered file would stay in memory as a whole.
    file = pq.ParquetFile(path, pre_buffer=False)
    return file.schema_arrow, file.iter_batches(batch_size=_BATCH, use_threads=False)


def _stream(path: Path) -> tuple[Any, Iterator[Any]]:
    """Arrow's stream format, or its file format, in batches of a few rows."""
    import pyarrow as pa

    source = pa.memory_map(str(path))
    try:
        reader: Any = pa.ipc.open_stream(source)
        batches: Iterator[Any] = iter(reader)
    except pa.ArrowInvalid:
        reader = pa.ipc.open_file(source)
        batches = (reader.get_batch(at) for at in range(reader.num_record_batches))
    slices = (batch.slice(at, _BATCH) for batch in batches for at in range(0, batch.num_rows, _BATCH))
    return reader.schema, slices


def _label_names(path: Path, metadata: dict[bytes, bytes] | None) -> dict[str, list[str]]:
    """The names of the class labels of each column that has them, or has lists of them."""
    found: dict[str, list[str]] = {}
    try:
        info = json.loads((metadata or {}).get(b"huggingface", b"{}"))
        for column, feature in (info.get("info", {}).get("features") or {}).items():
            inner = feature.get("feature") if isinstance(feature, dict) else None
            for one in (feature, inner):
                if isinstance(one, dict) and one.get("_type") == "ClassLabel":
                    found[column] = list(one["names"])
    except (AttributeError, KeyError, TypeError, ValueError, RecursionError):
        raise DataError(f"{path}: what its schema says of labels is damaged; get the file again") from None
    return found


def _named(value: Any, names: Sequence[str]) -> Any:
    """A label's name, or those of a list of labels; None for -1, which marks a row without a label."""
    if isinstance(value, list):
        return [_named(one, names) for one in value]
    return names[value] if isinstance(value, int) and 0 <= value < len(names) else None
