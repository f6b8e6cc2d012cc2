"""tinsmith batch --check: reports equal answers, and finds changed ones."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tinsmith import cli

Run = Callable[..., int]


@pytest.fixture
def made(batch: Run, asked: Path) -> Path:
    out = asked.with_name("out.jsonl")
    batch(asked, out)
    return out


def replay(out: Path, file: Path, given: Path, *words: str) -> int:
    return cli.main(["batch", str(file), str(given), str(out), "--check", "--workers", "1", *words])


@pytest.mark.parametrize("words", [[], ["--isa", "scalar"], ["--sample", "7"], ["--workers", "2"]])
def test_equal_on_any_instruction_set(
    made: Path, tiny_tin: Path, asked: Path, words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert replay(made, tiny_tin, asked, *words) == 0
    count = 7 if "--sample" in words else 61
    assert capsys.readouterr().out == f"{made}: {count} answers computed again, all equal\n"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda row: {**row, "text": row["text"][:-1] + "~"}, "item 3: the text differs from character"),
        (lambda row: {**row, "receipt": "0" * 64}, "item 3: the same text with another receipt"),
        (lambda row: {**row, "finish": "stop" if row["finish"] == "length" else "length"}, "item 3: finish is"),
        (lambda row: {"item": row["item"], "error": "none"}, "item 3: error is 'none', and now None"),
    ],
)
def test_a_changed_row_is_found(
    made: Path,
    tiny_tin: Path,
    asked: Path,
    change: Callable[[dict[str, str]], object],
    said: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    lines = made.read_text(encoding="utf-8").splitlines()
    lines[2] = json.dumps(change(json.loads(lines[2])))
    made.write_text("\n".join(lines) + "\n", encoding="utf-8")
    assert replay(made, tiny_tin, asked) == 1
    shown = capsys.readouterr().out.splitlines()
    assert len(shown) == 2 and shown[0].startswith(said)
    assert shown[1].endswith("61 answers computed again, 1 differ")


@pytest.mark.parametrize("suffix", [".jsonl", ".csv"])
def test_a_changed_line_or_cell_is_named(
    batch: Run, tiny_tin: Path, tmp_path: Path, suffix: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Any field of a line in OpenAI's shape; the parsed value in a table."""
    given, out = tmp_path / f"in{suffix}", tmp_path / f"out{suffix}"
    if suffix == ".csv":
        given.write_text("question\na\n", encoding="utf-8")
        words, old, new = ["--regex", "ab", "--task", "classify"], ",ab,\r\n", ",ba,\r\n"
    else:
        body = {"messages": [{"role": "user", "content": "a"}], "response_format": {"type": "json_object"}}
        given.write_text(json.dumps({"custom_id": "1", "body": body}), encoding="utf-8")
        words, old, new = [], '"refusal": null', '"refusal": "no"'
    assert batch(given, out, *words) == 0
    assert replay(out, tiny_tin, given) == 0
    text = out.read_bytes().decode()
    assert old in text
    out.write_bytes(text.replace(old, new).encode())
    capsys.readouterr()
    assert replay(out, tiny_tin, given) == 1
    place = "value" if suffix == ".csv" else "response.body.choices[0].message.refusal"
    assert capsys.readouterr().out.startswith(f"item 1: {place} is")


@pytest.mark.parametrize("shape", ["rows", "openai"])
def test_in_may_be_moved(
    batch: Run, tiny_tin: Path, asked: Path, shape: str, capsys: pytest.CaptureFixture[str]
) -> None:
    out, there = asked.with_name("out.jsonl"), asked.parent / "there"
    assert batch(asked, out, "--shape", shape) == 1
    there.mkdir()
    asked.rename(there / asked.name)
    assert replay(out, tiny_tin, there / asked.name) == 0
    text = out.read_text(encoding="utf-8")
    assert "not JSON" in text
    out.write_text(text.replace("not JSON", "no JSON"), encoding="utf-8")
    assert replay(out, tiny_tin, there / asked.name) == 1
    assert capsys.readouterr().out.splitlines()[1].startswith("item 41: error is")


def test_rows_that_are_missing_or_moved(made: Path, tiny_tin: Path, asked: Path) -> None:
    lines = made.read_text(encoding="utf-8").splitlines()
    for changed in (lines[:-1], [*lines, lines[-1]], [lines[1], lines[0], *lines[2:]]):
        made.write_text("\n".join(changed) + "\n", encoding="utf-8")
        assert replay(made, tiny_tin, asked) == 1


@pytest.mark.parametrize("which", ["FILE", "IN"])
def test_a_changed_byte_of_an_input_is_found(
    made: Path, tiny_tin: Path, asked: Path, tmp_path: Path, which: str, capsys: pytest.CaptureFixture[str]
) -> None:
    source = tiny_tin if which == "FILE" else asked
    data = bytearray(source.read_bytes())
    data[len(data) // 2] ^= 1
    changed = tmp_path / f"changed{source.suffix}"
    changed.write_bytes(data)
    files = (changed, asked) if which == "FILE" else (tiny_tin, changed)
    assert replay(made, *files) == 1
    assert f"is not the {which} that" in capsys.readouterr().out


def test_unordered_outs_are_found_by_item(batch: Run, tiny_tin: Path, asked: Path) -> None:
    out = asked.with_name("out.jsonl")
    batch(asked, out, "--unordered")
    lines = out.read_text(encoding="utf-8").splitlines()
    out.write_text("\n".join(reversed(lines)) + "\n", encoding="utf-8")
    assert replay(out, tiny_tin, asked) == 0
    out.write_text("\n".join([lines[3].replace("text", "txet"), *lines]) + "\n", encoding="utf-8")
    assert replay(out, tiny_tin, asked) == 1


def test_an_out_without_its_journal(
    made: Path, tiny_tin: Path, asked: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made.with_name("out.jsonl.journal").unlink()
    assert replay(made, tiny_tin, asked) == 2
    assert "keep the journal of" in capsys.readouterr().err
