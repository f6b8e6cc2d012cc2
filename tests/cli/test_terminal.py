"""A terminal obeys nothing that a model says or a file holds; a pipe gets every byte of it."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from tests.models.tiny_models import tiny_spec
from tinsmith import cli
from tinsmith.compiler import build_tin
from tinsmith.runtime.generation import Generation

HOSTILE = "a\x1b]0;title\x07\x9b31m\r\x7f\u202eb\tc"
ESCAPED = "a\\x1b]0;title\\x07\\x9b31m\\r\\x7f\\u202eb\tc"


@pytest.fixture(scope="module")
def tin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("tin") / "tiny.tin"
    spec = tiny_spec("llama", hidden_size=64, intermediate_size=96)
    build_tin(replace(spec, general={**spec.general, "name": HOSTILE}), path)
    return path


@pytest.fixture(params=[True, False], ids=["terminal", "pipe"])
def terminal(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> bool:
    """Whether what capsys collects takes itself for a terminal."""
    for stream in (sys.stdout, sys.stderr):  # of the type, since a test has other streams than its fixtures
        monkeypatch.setattr(type(stream), "isatty", lambda self: request.param)
    return bool(request.param)


def shell(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert cli.main(list(arguments)) == 0
    return capsys.readouterr().out


def test_what_a_model_says(
    tin: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, terminal: bool
) -> None:
    monkeypatch.setattr(Generation, "pieces", lambda self: iter(HOSTILE))
    assert shell(capsys, "run", str(tin), "hello", "--raw") == (ESCAPED if terminal else HOSTILE) + "\n"


def test_what_a_file_holds(tin: Path, capsys: pytest.CaptureFixture[str], terminal: bool) -> None:
    text = shell(capsys, "inspect", str(tin))  # for people, wherever it goes; --json is exact
    assert ESCAPED.replace("\t", "\\t") in text and "\x1b" not in text
    printed = json.loads(shell(capsys, "inspect", str(tin), "--json"))
    assert HOSTILE in (printed.get("name"), printed.get("general", {}).get("name"))


def test_what_an_error_quotes(capsys: pytest.CaptureFixture[str], terminal: bool) -> None:
    assert cli.main(["inspect", f"/nowhere/{HOSTILE}.tin"]) == 2
    printed = capsys.readouterr().err
    assert ("\x1b" in printed, "\\x1b" in printed) == (not terminal, terminal)
