"""tinsmith run under constraints, as a shell sees it."""

from __future__ import annotations

import io
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import pytest

import tinsmith
from tests.models.tiny_models import tiny_spec
from tinsmith import cli
from tinsmith.compiler import build_tin
from tinsmith.models import family

TEMPLATE = (
    "{% for m in messages %}[{{ m['role'] }}]{{ m['content'] }}\n{% endfor %}"
    "{% if add_generation_prompt %}[assistant]{% endif %}"
)
SCHEMA = {
    "type": "object",
    "properties": {"on": {"type": "boolean"}},
    "required": ["on"],
    "additionalProperties": False,
}
TOOLS = [
    {"name": "switch", "parameters": SCHEMA},
    {"name": "stop", "parameters": {"type": "object", "properties": {}}},
]
HOT = ("--temperature", "2", "--max-tokens", "200")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("run")
    spec = tiny_spec(
        family.by_name("llama"), hidden_size=64, intermediate_size=96, max_position_embeddings=2048
    )
    spec = replace(spec, chat_template=TEMPLATE)
    build_tin(spec, path / "free.tin")
    entries = {"grammar/answer.bin": tinsmith.regex("[ab]{4}").data}
    build_tin(spec, path / "own.tin", entries=entries, manifest={"constraint": {"kind": "regex"}})
    (path / "s.json").write_text(json.dumps(SCHEMA))
    (path / "t.json").write_text(json.dumps(TOOLS))
    (path / "g.gbnf").write_text('root ::= "x" [0-9]+ "y"')
    (path / "g.lark").write_text('start: "x" /[0-9]+/ "y"')
    (path / "bad.json").write_text('{"type": "array", "contains": {"type": "null"}}')
    (path / "broken.json").write_text("{")
    (path / "bad.gbnf").write_text("root ::= missing")
    return path


def shell(capsys: pytest.CaptureFixture[str], folder: Path, *arguments: str) -> str:
    assert cli.main([argument.format(at=folder) for argument in arguments]) == 0
    return capsys.readouterr().out.removesuffix("\n")


def answered(capsys: pytest.CaptureFixture[str], folder: Path, *arguments: str) -> dict[str, Any]:
    printed: dict[str, Any] = json.loads(shell(capsys, folder, *arguments, "--json"))
    return printed


def test_schema(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ("run", "{at}/free.tin", "hi", "--schema", "{at}/s.json", *HOT)
    answer = answered(capsys, folder, *arguments)
    jsonschema.validate(answer["value"], SCHEMA)
    assert answer["finish"] == "stop"
    assert answer["evaluations"] < answer["tokens"]
    assert shell(capsys, folder, *arguments) == answer["text"]


def test_tools_are_told_and_called(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ("run", "{at}/free.tin", "hi", "--tools", "{at}/t.json", *HOT)
    answer = answered(capsys, folder, *arguments)
    [call] = answer["calls"]
    assert call["name"] in ("switch", "stop")
    plain = answered(capsys, folder, "run", "{at}/free.tin", "hi", "--max-tokens", "1")
    assert answer["prompt_tokens"] > plain["prompt_tokens"] + 100
    assert json.loads(shell(capsys, folder, *arguments)) == call


@pytest.mark.parametrize("name", ["g.gbnf", "g.lark"])
def test_grammar(folder: Path, capsys: pytest.CaptureFixture[str], name: str) -> None:
    text = shell(capsys, folder, "run", "{at}/free.tin", "hi", "--grammar", f"{{at}}/{name}", *HOT)
    assert re.fullmatch("x[0-9]+y", text)


def test_choices_and_regex(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    answer = answered(capsys, folder, "run", "{at}/free.tin", "hi", "--choices", "one, two,three")
    assert answer["text"] in ("one", "two", "three")
    assert list(answer["choices"]) == ["one", "two", "three"]
    assert sum(answer["choices"].values()) == pytest.approx(1)
    assert re.fullmatch("[cd][ef]", shell(capsys, folder, "run", "{at}/free.tin", "hi", "--regex", "[cd][ef]"))


def test_a_files_own_constraint(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    own = shell(capsys, folder, "run", "{at}/own.tin", "hi")
    assert re.fullmatch("[ab]{4}", own)
    options = ("hi", "--max-tokens", "9")
    free = shell(capsys, folder, "run", "{at}/free.tin", *options)
    assert shell(capsys, folder, "run", "{at}/own.tin", *options, "--unconstrained") == free
    assert shell(capsys, folder, "run", "{at}/own.tin", "hi", "--choices", "z") == "z"


def test_a_chat_is_held_to_it_line_by_line(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("one\ntwo\n"))
    lines = shell(capsys, folder, "run", "{at}/free.tin", "--tools", "{at}/t.json", *HOT).splitlines()
    assert len(lines) == 2
    assert all(json.loads(line)["name"] in ("switch", "stop") for line in lines)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--schema", "{at}/bad.json"], "bad.json: #/contains"),
        (["--schema", "{at}/broken.json"], "error: {at}/broken.json: not JSON"),
        (["--schema", "{at}/absent.json"], "absent.json: no such file"),
        (["--tools", "{at}/s.json"], "s.json: #: tools must be a list"),
        (["--tools", "{at}/broken.json"], "broken.json: not JSON"),
        (["--grammar", "{at}/bad.gbnf"], "bad.gbnf: "),
        (["--grammar", "{at}/s.json"], "it ends in .gbnf or .lark"),
        (["--regex", "(a"], "(a"),
        (["--schema", "{at}/s.json", "--max-tokens", "2", "--json"], "did not end by itself"),
    ],
)
def test_bad_constraints_are_one_line(
    folder: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    given = ["run", "{at}/free.tin", "hi", *arguments]
    assert cli.main([argument.format(at=folder) for argument in given]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1
    assert message.format(at=folder) in captured.err
