"""A cached answer is verified before use: the folder may contain untrusted files."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

Row = list[Any]  # text, finish, prompt's tokens, tokens, receipt, logits
Run = Callable[..., int]


def change(path: Path, make: Callable[[Row], object]) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as base:
        for key, answer in base.execute("select key, answer from answers").fetchall():
            made = make(json.loads(answer))
            text = made if isinstance(made, str | bytes) else json.dumps(made)
            base.execute("update answers set answer = ? where key = ?", (text, key))


@pytest.fixture
def cached(batch: Run, tmp_path: Path) -> Callable[..., int]:
    """Fills a cache, and then answers the same by it."""
    (tmp_path / "in.txt").write_text("a\nb\n")
    (tmp_path / "schema.json").write_text('{"enum": ["yes", "no"]}')
    words = (tmp_path / "in.txt", tmp_path / "1.jsonl", "--cache", tmp_path / "cache")
    assert batch(*words, "--schema", tmp_path / "schema.json") == 0

    def again(*more: object) -> int:
        asked = [tmp_path / "in.txt", tmp_path / "2.jsonl", "--cache", tmp_path / "cache", *more]
        return batch(*asked, "--schema", tmp_path / "schema.json")

    return again


def known(out: Path) -> int:
    last = out.with_name(f"{out.name}.journal").read_text().splitlines()[-1]
    return int(json.loads(last)["counts"]["known"])


CHANGES: dict[str, tuple[Callable[[Row], object], str]] = {
    "text": (lambda row: ["rm -rf / # not in the schema", *row[1:]], "has a text that is not its tokens'"),
    "tokens": (lambda row: ["!", "stop", row[2], [0], *row[4:]], "has a text|violates its constraint"),
    "no tokens": (lambda row: ["", "stop", row[2], [], *row[4:]], "violates its constraint"),
    "cut off": (lambda row: ["", "length", row[2], [], *row[4:]], "has a wrong receipt"),
    "receipt": (lambda row: [*row[:4], "0" * 64, row[5]], "has a wrong receipt"),
    "logits": (lambda row: [*row[:5], "0" * 64], "has a wrong receipt"),
    "prompt": (lambda row: [*row[:2], 10**9, *row[3:]], "has a wrong length"),
    "long": (lambda row: [*row[:3], row[3] * 100, *row[4:]], "has a wrong length"),
    "vocabulary": (lambda row: [*row[:3], [10**9], *row[4:]], "has unknown tokens"),
    "negative": (lambda row: [*row[:3], [-1], *row[4:]], "has unknown tokens"),
    "finish": (lambda row: [row[0], "none", *row[2:]], "has a wrong receipt"),
    "unknown finish": (lambda row: [row[0], "bad", *row[2:]], ": damaged"),
    "null": (lambda row: None, ": damaged"),
    "number": (lambda row: 5, ": damaged"),
    "short": (lambda row: [1], ": damaged"),
    "no logits": (lambda row: row[:5], ": damaged"),
    "types": (lambda row: [1, 2, 3, 4, 5, 6], ": damaged"),
    "texts for tokens": (lambda row: [*row[:3], "xyz", *row[4:]], ": damaged"),
    "deep": (lambda row: "[" * 100_000, ": damaged"),
    "bytes": (lambda row: b"\xff\0", ": damaged"),
}


@pytest.mark.parametrize("beside", [False, True], ids=["own", "merged"])
@pytest.mark.parametrize("name", CHANGES)
def test_an_answer_that_was_changed_is_refused(
    name: str, beside: bool, cached: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    own = tmp_path / "cache" / "answers.sqlite"
    change(own, CHANGES[name][0])
    if beside:
        own.rename(own.with_name("node-7.sqlite"))
    capsys.readouterr()
    assert cached() == 2
    err = capsys.readouterr().err.splitlines()[-1]
    assert err.startswith(f"tinsmith: error: {own}:")
    assert any(reason in err for reason in CHANGES[name][1].split("|")), err
    assert not (tmp_path / "2.jsonl").exists()


def test_a_valid_answer_is_used(cached: Run, tmp_path: Path) -> None:
    assert cached() == 0
    assert (tmp_path / "2.jsonl").read_bytes() == (tmp_path / "1.jsonl").read_bytes()
    assert known(tmp_path / "2.jsonl") == 2
