"""A file of any size is read with the memory of a few rows. What is measured is the reading process's own peak:
getrusage would begin with that of the tests, and see no growth below it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

MIB = 1 << 20
# Reads all rows, and says how much its peak grew over what it held after the first.
PROGRAM = """
import sys
from tinsmith.data.shapes import open_examples
from tinsmith.evaluate.worker import peak_memory
examples = iter(open_examples(sys.argv[1]))
next(examples)
before, count = peak_memory(), 1 + sum(1 for _ in examples)
print(count, peak_memory() - before)
"""


def write(path: Path, size: int, words: int = 50) -> int:
    """A file of about so many bytes; how many rows it has, of 20 bytes times `words`."""
    text = "some words of a row " * words
    rows = size // len(text)
    with path.open("w") as file:
        if path.suffix == ".csv":
            file.write("text,label\n")
            for n in range(rows):
                file.write(f'"{n} {text}",label\n')
        else:
            is_list = path.suffix == ".json"
            file.write("[" if is_list else "")
            for n in range(rows):
                between = (", " if n else "") if is_list else ""
                file.write(f'{between}{{"text": "{n} {text}", "label": "label"}}' + ("" if is_list else "\n"))
            file.write("]" if is_list else "")
    return rows


def grown(path: Path) -> tuple[int, int]:
    done = subprocess.run([sys.executable, "-c", PROGRAM, path], capture_output=True, text=True, check=True)
    count, more = map(int, done.stdout.split())
    return count, more


@pytest.mark.parametrize("name", ["a.jsonl", "a.json", "a.csv"])
def test_memory_does_not_grow_with_the_file(name: str, tmp_path: Path) -> None:
    rows = write(tmp_path / name, 48 * MIB)
    count, more = grown(tmp_path / name)
    assert count == rows
    assert more < 8 * MIB


def test_nor_with_a_parquet_file(tmp_path: Path) -> None:
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    schema = pa.schema([("text", pa.string()), ("label", pa.string())])
    with pq.ParquetWriter(tmp_path / "a.parquet", schema, compression="none", use_dictionary=False) as writer:
        for group in range(20):
            text = [f"{group} {n} " + "some words of a row " * 50 for n in range(5_000)]
            writer.write_table(pa.table({"text": text, "label": ["label"] * 5_000}, schema=schema))
    assert (tmp_path / "a.parquet").stat().st_size > 96 * MIB
    count, more = grown(tmp_path / "a.parquet")
    assert count == 100_000
    assert more < 56 * MIB  # some row groups of 5 MB and their batches, which pyarrow is slow to give back


@pytest.mark.slow
@pytest.mark.parametrize("name", ["a.jsonl", "a.json", "a.csv"])
def test_many_rows_in_flat_memory(name: str, tmp_path: Path) -> None:
    """268,000 rows, so that what kept 32 bytes of each would show."""
    rows = write(tmp_path / name, 128 * MIB, 25)
    assert rows * 32 > 8 * MIB
    count, more = grown(tmp_path / name)
    assert count == rows
    assert more < 8 * MIB
