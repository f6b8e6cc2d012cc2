"""Reading any journal gives its content or one error."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tinsmith.batch.items import open_items
from tinsmith.batch.journal import Journal
from tinsmith.batch.replay import Replay
from tinsmith.batch.requests import _sampling
from tinsmith.errors import TinsmithError
from tinsmith.system import files

ODD = (None, 5, -1, 1e300, "x", "../../x", [], [1], {"a": 1}, True, 10**30, "\ud800")


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(place for key, one in inner for place in places(one, (*path, key)))]


def changed(value: Any, path: tuple[Any, ...], new: object) -> Any:
    if not path:
        return new
    value = dict(value) if isinstance(value, dict) else list(value)
    value[path[0]] = changed(value[path[0]], path[1:], new)
    return value


@pytest.fixture
def made(batch: Callable[..., int], tmp_path: Path) -> Path:
    (tmp_path / "in.jsonl").write_text('{"input": "a"}\n{"input": "b"}\n')
    assert batch(tmp_path / "in.jsonl", tmp_path / "out.jsonl") == 0
    return tmp_path / "out.jsonl"


def test_a_changed_value_is_at_most_an_error(made: Path, tiny_tin: Path) -> None:
    journal, given = made.with_name("out.jsonl.journal"), made.with_name("in.jsonl")
    lines, answers = journal.read_text().splitlines(), made.read_bytes()
    header, refused = json.loads(lines[0])["batch"], 0
    for number, line in enumerate(lines):
        told = json.loads(line)
        for place in places(told):
            for odd in ODD:
                text = json.dumps(changed(told, place, odd))
                journal.write_text("\n".join([*lines[:number], text, *lines[number + 1 :]]) + "\n")
                try:
                    settings = Replay(made, tiny_tin, given).settings
                    open_items(given, settings).count()
                    _sampling(settings).check(100)
                except TinsmithError as error:
                    assert "\n" not in str(error)
                    refused += 1
                try:
                    with Journal(made, header, files.replace) as opened:
                        assert all(
                            isinstance(at, int) for at, _ in zip(opened.positions(), range(9), strict=False)
                        )
                except TinsmithError:
                    refused += 1
    assert refused > 100
    assert made.read_bytes() == answers
