"""Damaged and odd files: each gives the right rows, or one line with the file, the row and the column."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tinsmith.data.shapes import open_examples
from tinsmith.errors import DataError

AB = [("a", "b")]
HEADER = b"text,label\n"
ROW = b'{"text": "a", "label": "b"}\n'

RIGHT = {
    "a byte order mark": ("a.jsonl", b"\xef\xbb\xbf" + ROW, AB),
    "a byte order mark before a header": ("a.csv", b"\xef\xbb\xbf" + HEADER + b"a,b\n", AB),
    "a byte order mark before a list": ("a.json", b"\xef\xbb\xbf \n[" + ROW + b"]", AB),
    "line ends of Windows": ("a.csv", b"text,label\r\na,b\r\n\r\nc,d\r\n", [*AB, ("c", "d")]),
    "line ends of Windows in lines": ("a.jsonl", ROW.replace(b"\n", b"\r\n") * 2, AB * 2),
    "no line end at the end": ("a.csv", HEADER + b"a,b", AB),
    "nested quotes": ("a.csv", HEADER + b'"say ""a"", then ""b""",x\n', [('say "a", then "b"', "x")]),
    "a quoted line end": ("a.csv", HEADER + b'"a\nb",x\nc,d\n', [("a\nb", "x"), ("c", "d")]),
    "quotes inside a bare cell": ("a.tsv", b'text\tlabel\nsay "a"\tx\n', [('say "a"', "x")]),
    "blank lines before the header": ("a.csv", b"\n\n" + HEADER + b"a,b\n", AB),
    "a column without a name": ("a.csv", b",text,label\n0,a,b\n", AB),
    "numbers as labels": (
        "a.jsonl",
        b'{"text": "a", "label": 3}\n{"text": "b", "label": "3"}\n',
        [("a", "3"), ("b", "3")],
    ),
    "true and false as labels": ("a.jsonl", b'{"text": "a", "label": true}\n', [("a", "true")]),
    "nested JSON as output": (
        "a.jsonl",
        b'{"text": "a", "output": {"b": [{"c": null}]}}\n',
        [("a", '{"b":[{"c":null}]}')],
    ),
    "a very long line": (
        "a.jsonl",
        json.dumps({"text": "x" * 5_000_000, "label": "b"}).encode(),
        [("x" * 5_000_000, "b")],
    ),
    "a very long cell": ("a.csv", HEADER + b"x" * 5_000_000 + b",b\n", [("x" * 5_000_000, "b")]),
    "blank rows of a spreadsheet": ("a.csv", HEADER + b"a,b\n,\n , \n", AB),
    "a separator in the text": ("a.csv", b"text;label\na, b, c;d\n", [("a, b, c", "d")]),
}

WRONG = {
    "empty": ("a.jsonl", b"", "FILE: holds no example; write at least one row"),
    "an empty table": ("a.csv", b"", "FILE: is empty; the first line names the columns"),
    "a header alone": ("a.csv", HEADER, "FILE: holds no example"),
    "an empty list": ("a.json", b"[]", "FILE: holds no example"),
    "UTF-16": (
        "a.csv",
        "text,label\na,b\n".encode("utf-16"),
        "FILE: is UTF-16; save it as UTF-8: iconv -f UTF-16",
    ),
    "UTF-16 without a mark": (
        "a.csv",
        "text,label\na,b\n".encode("utf-16-le"),
        "FILE:1: column 2 is a NUL character, which no text has; the file is damaged",
    ),
    "Latin-1": (
        "a.csv",
        HEADER + "a,b\nMüll,c\n".encode("latin-1"),
        "FILE:3: byte 2 is not UTF-8; save the file",
    ),
    "Latin-1 in lines": ("a.jsonl", ROW + '{"text": "ü"}'.encode("latin-1"), "FILE:2: byte 11 is not UTF-8"),
    "Latin-1 in a list": (
        "a.json",
        b"[" + '{"text": "ü"}'.encode("latin-1") + b"]",
        "FILE: byte 12 is not UTF-8",
    ),
    "a NUL": ("a.jsonl", ROW + b'{"text": "a\0b", "label": "c"}\n', "FILE:2: column 12 is a NUL character"),
    "a short row": (
        "a.csv",
        b"id,text,label\n1,a,b\n2,c\n",
        'FILE:3: has 2 cells where the header has 3; quote a cell that holds ","',
    ),
    "a long row": (
        "a.csv",
        HEADER + b"a,b\nwell, well,c\n",
        "FILE:3: has 3 cells where the header has 2",
    ),
    "a column twice": ("a.csv", b"text,label,text\na,b,c\n", 'FILE:1: the header has the column "text" twice'),
    "a quote that stays open": (
        "a.csv",
        HEADER + b'a,b\n"c,d\ne,f\n',
        'FILE:3: a quote (") that opens in this row is',
    ),
    "text after a quote": (
        "a.csv",
        HEADER + b'"a" he said,b\n',
        "FILE:2: text follows a closing quote; inside a",
    ),
    "NaN": ("a.jsonl", ROW + b'{"text": "a", "label": NaN}\n', "FILE:2: NaN is no JSON number"),
    "a key twice": ("a.jsonl", b'{"text": "a", "text": "b"}\n', "FILE:1: duplicate key text"),
    "mixed types": (
        "a.jsonl",
        ROW + b'{"text": ["a"], "label": "b"}\n',
        'FILE:2: "text" must be a text, got a list',
    ),
    "rows that are no objects": (
        "a.jsonl",
        ROW + b'["a", "b"]\n',
        "FILE:2: got a list; a row is one JSON object",
    ),
    "a line cut off": (
        "a.jsonl",
        ROW + b'{"text": "a", "lab',
        "FILE:2: not JSON at column 15: Unterminated string",
    ),
    "a list cut off": (
        "a.json",
        b"[" + ROW + b", {",
        "FILE: the list is not closed, in row 2; the file was cut off",
    ),
    "text after a list": (
        "a.json",
        b"[" + ROW + b"]\n[]",
        "FILE: text follows the list, after row 1; leave it out",
    ),
    "a comma too many": ("a.json", b"[" + ROW + b",]", "FILE: row 2: not JSON at column 1: Expecting value"),
    "deep": (
        "a.jsonl",
        b'{"text": "a", "label": ' + b"[" * 300 + b"]" * 300 + b"}",
        "FILE:1: nests more than 200",
    ),
    "half a character": (
        "a.jsonl",
        b'{"text": "\\ud800", "label": "b"}',
        "FILE:1: text has an unpaired surrogate",
    ),
    "lines of old Macs": (
        "a.csv",
        b"text,label\ra,b\r",
        "FILE:1: lines end in a carriage return alone",
    ),
    "an empty cell": (
        "a.csv",
        HEADER + b"a,b\nc,\n",
        'FILE:3: "label" is empty; write a text, or leave the row out',
    ),
}


@pytest.mark.parametrize("name", RIGHT)
def test_an_odd_file_gives_its_rows(name: str, tmp_path: Path) -> None:
    file, data, rows = RIGHT[name]
    (tmp_path / file).write_bytes(data)
    assert [(one.input, one.output) for one in open_examples(tmp_path / file)] == rows


@pytest.mark.parametrize("name", WRONG)
def test_a_damaged_file_says_where_in_one_line(name: str, tmp_path: Path) -> None:
    file, data, said = WRONG[name]
    (tmp_path / file).write_bytes(data)
    with pytest.raises(DataError) as caught:
        list(open_examples(tmp_path / file))
    told = str(caught.value).replace(str(tmp_path / file), "FILE")
    assert told.startswith(said) and "\n" not in told


def test_what_follows_a_damaged_row_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(HEADER + b'a,b\nonly\n\xffx,y\n"q" z,w\nc,d\n')
    said = [str(one if isinstance(one, DataError) else one.where) for one in open_examples(path).each()]
    assert [one.removeprefix(str(path))[:3] for one in said] == [":2", ":3:", ":4:", ":5:", ":6"]


@pytest.mark.parametrize("kept", [3, 40, 400])
def test_a_truncated_parquet_file(kept: int, tmp_path: Path) -> None:
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    pq.write_table(pa.table({"text": ["a"] * 100, "label": ["b"] * 100}), tmp_path / "a.parquet")
    data = (tmp_path / "a.parquet").read_bytes()
    (tmp_path / "a.parquet").write_bytes(data[:kept])
    with pytest.raises(DataError, match=r"a\.parquet: not a whole Parquet file: .*; get it again") as caught:
        list(open_examples(tmp_path / "a.parquet"))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "about",
    [b"x", b"[]", b'{"info": []}', b'{"info": {"features": {"label": {"_type": "ClassLabel", "names": 5}}}}'],
)
def test_a_parquet_file_whose_labels_are_damaged(about: bytes, tmp_path: Path) -> None:
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    rows = pa.table({"text": ["a"], "label": [0]}).replace_schema_metadata({b"huggingface": about})
    pq.write_table(rows, tmp_path / "a.parquet")
    with pytest.raises(DataError, match=r"a\.parquet: what its schema says of labels is damaged"):
        open_examples(tmp_path / "a.parquet")


def test_a_text_in_parquet_that_is_none(tmp_path: Path) -> None:
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    held = [None, pa.py_buffer(b"\0\0\0\0\1\0\0\0"), pa.py_buffer(b"\xff")]
    text = pa.Array.from_buffers(pa.string(), 1, held)
    pq.write_table(pa.table({"text": text, "label": ["b"]}), tmp_path / "a.parquet")
    with pytest.raises(DataError, match=r"a\.parquet: row 1: \"text\" is string: 'utf-8' codec"):
        open_examples(tmp_path / "a.parquet")


def test_a_number_that_is_none_in_parquet(tmp_path: Path) -> None:
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    pq.write_table(
        pa.table({"text": ["a", "b", None], "label": [1.5, float("nan"), 2]}), tmp_path / "a.parquet"
    )
    rows = list(open_examples(tmp_path / "a.parquet").each())
    assert [str(one).replace(str(tmp_path / "a.parquet"), "FILE") for one in rows[1:]] == [
        'FILE: row 2: "label" is nan, which is no value; write one, or leave the row out',
        'FILE: row 3: "text" is missing; an example needs it',
    ]
