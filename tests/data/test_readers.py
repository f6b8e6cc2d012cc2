from __future__ import annotations

from pathlib import Path

import pytest

from tinsmith.data.readers import Example, read_jsonl
from tinsmith.errors import DataError


def write(folder: Path, text: str | bytes) -> Path:
    path = folder / "examples.jsonl"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_reads_examples_and_strips_their_edges(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        '\ufeff{"input": " lights on ", "output": "\\n{}", "about": {"template": "T/1"}}\r\n\n'
        '{"input": "b", "output": "c", "accept": ["c", " d"], "part": "seen"}',
    )
    assert read_jsonl(path) == [Example("lights on", "{}"), Example("b", "c", ("c", "d"), "seen")]
    assert read_jsonl(path)[0].about == {"template": "T/1"}


@pytest.mark.parametrize(
    ("line", "what"),
    [
        ('{"input": "a", "output": "b"', "not JSON at column"),
        ('["a", "b"]', "got a list"),
        ('{"output": "b"}', '"input" is missing'),
        ('{"input": "a", "output": {"name": "f"}}', '"output" must be a text, got an object; write the JSON'),
        ('{"input": "a", "output": " "}', '"output" is empty'),
        ('{"input": "a", "output": "b", "acept": []}', 'unknown key "acept"; an example takes input, output'),
        ('{"input": "a", "output": "b", "accept": "b"}', '"accept" must be a list of texts, got a text'),
        ('{"input": "a", "output": "b", "part": 3}', '"part" must be a text, got a number'),
        ('{"input": "a", "output": "b", "passage": ["c"]}', '"passage" must be a text, got a list'),
        ('{"input": "a", "output": "b", "about": true}', '"about" must be an object, got true or false'),
    ],
)
def test_an_error_names_file_and_line(tmp_path: Path, line: str, what: str) -> None:
    path = write(tmp_path, f'{{"input": "a", "output": "b"}}\n\n{line}\n')
    with pytest.raises(DataError) as caught:
        read_jsonl(path)
    assert str(caught.value).startswith(f"{path}:3: ")
    assert what in str(caught.value)
    assert "\n" not in str(caught.value)


def test_refuses_bytes_that_are_not_utf8(tmp_path: Path) -> None:
    path = write(tmp_path, b'{"input": "a", "output": "b"}\n{"input": "\xff"}\n')
    with pytest.raises(DataError, match=r"examples\.jsonl:2: byte 12 is not UTF-8"):
        read_jsonl(path)


def test_refuses_a_file_without_examples(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="holds no example"):
        read_jsonl(write(tmp_path, "\n\n"))
    with pytest.raises(DataError, match="no such file"):
        read_jsonl(tmp_path / "absent.jsonl")
