"""Constraints of tool calls, read by the oracle: what may come is a call that validates, and calls may come."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from tests.constraint.oracle import Configuration, Oracle
from tinsmith.chat.tool_formats import FORMATS, Call, by_name, read_tools
from tinsmith.chat.tool_formats.functiongemma import FUNCTIONGEMMA, GEMMA4, GemmaFormat
from tinsmith.constraint.calls import tools
from tinsmith.constraint.calls.tools import compile_tools
from tinsmith.errors import ConstraintError, UnsupportedError

TOOLS: list[dict[str, Any]] = json.loads(
    (Path(__file__).parents[1] / "chat" / "tool_renderings.json").read_text()
)["tools"] + [
    {
        "name": "plan",
        "parameters": {
            "type": "object",
            "properties": {
                "when": {"type": "string", "pattern": "^[0-9]{2}:[0-9]{2}$"},
                "code": {"type": "string", "minLength": 2, "maxLength": 3},
                "mode": {"enum": ["fast", 2, None]},
                "at": {
                    "type": "object",
                    "properties": {"x": {"type": "integer"}, "y": {"type": "integer"}},
                    "required": ["y"],
                },
                "steps": {
                    "type": "array",
                    "items": {"$ref": "#/$defs/step"},
                    "minItems": 1,
                    "maxItems": 2,
                },
            },
            "required": ["when"],
            "$defs": {"step": {"type": "string", "enum": ["go", "stop"]}},
        },
    }
]
READ = read_tools(TOOLS)
VALID = [
    Call("get_weather", {"place": 'Köln </x> "q" {,}\n', "unit": "celsius", "days": 7}),
    Call("get_weather", {"place": ""}),
    Call("switch_lights", {"on": True, "rooms": ["a", ""], "level": 0.25}),
    Call(
        "plan", {"when": "07:30", "code": "ab", "mode": None, "at": {"x": 1, "y": -2}, "steps": ["go", "stop"]}
    ),
    Call("plan", {"when": "07:30", "mode": 2, "at": {"y": 0}}),
]
INVALID = [
    Call("get_weather", {"unit": "celsius"}),
    Call("get_weather", {"place": "x", "days": 8}),
    Call("get_weather", {"place": "x", "more": 1}),
    Call("switch_lights", {"on": 3}),
    Call("launch", {}),
    Call("plan", {"when": "7:30"}),
    Call("plan", {"when": "07:30", "code": "abcd"}),
    Call("plan", {"when": "07:30", "mode": "slow"}),
    Call("plan", {"when": "07:30", "at": {"x": 1}}),
    Call("plan", {"when": "07:30", "steps": []}),
    Call("plan", {"when": "07:30", "steps": ["go", "run"]}),
]


@pytest.fixture(scope="module", params=FORMATS)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_calls_that_validate_may_come_and_others_may_not(name: str) -> None:
    oracle = Oracle(compile_tools(TOOLS, name).data)
    for call in VALID:
        assert oracle.accepts(by_name(name).write([call]).encode()), call
    for call in INVALID:
        assert not oracle.accepts(by_name(name).write([call]).encode()), call


def test_parallel_calls_and_none(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    known = by_name(name)
    text = "It will be warm."
    if not known.several:
        with pytest.raises(ConstraintError, match="one call an answer"):
            compile_tools(TOOLS, name, parallel=True)
        return
    monkeypatch.setattr(tools, "MOST_CALLS", 3)
    oracle = Oracle(compile_tools(TOOLS, name, parallel=True).data)
    assert oracle.accepts(known.write(VALID[:2]).encode())
    assert oracle.accepts(known.write(VALID[:3]).encode())
    assert not oracle.accepts(known.write(VALID[:4]).encode())
    assert not oracle.accepts(text.encode())


def test_of_parallel_calls_a_single_one_may_stand_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tools, "MOST_CALLS", 3)
    known = by_name("json")
    oracle = Oracle(compile_tools(TOOLS, "json", parallel=True, alone=True).data)
    assert oracle.accepts(known.write(VALID[:1]).encode())
    assert oracle.accepts(known.write(VALID[:2]).encode())
    assert not oracle.accepts(b"[" + known.write(VALID[:1]).encode() + b"]")
    assert not oracle.accepts(known.write(VALID[:4]).encode())


def test_no_call_is_its_form_or_a_text_that_begins_none(name: str) -> None:
    known = by_name(name)
    oracle = Oracle(compile_tools(TOOLS, name, none=True).data)
    assert oracle.accepts(known.write(VALID[:1]).encode())
    form = getattr(known, "nothing", None)
    if form is not None:
        assert oracle.accepts(form.encode())
        assert known.parse(form, READ) == []
        assert not oracle.allows(b"It")
        return
    for text in ("It will be warm.", "a < b, <tool> {}", "日本"):
        assert oracle.accepts(text.encode())
        assert known.parse(text, READ) == []
    assert not oracle.accepts(b"")
    assert not oracle.allows(known.mark.encode() + b"x")
    if len(known.mark) > 1:
        assert not oracle.allows(b"see " + known.mark.encode())


def test_whatever_may_come_validates(name: str) -> None:
    """Random walks through the automaton: bytes that may come next, few of those that are text."""
    constraint = compile_tools(TOOLS, name)
    oracle, source = Oracle(constraint.data), random.Random(name)
    schemas = {tool.name: tool.parameters for tool in READ}
    for _ in range(8):
        text = walk(oracle, source)
        [call] = by_name(name).parse(text.decode(), READ)
        schema = schemas[call.name]
        jsonschema.validate(call.arguments, {**schema, "additionalProperties": False})


def walk(oracle: Oracle, source: random.Random) -> bytes:
    text, at = b"", oracle.begin()
    while not oracle.ends(at):
        step = next_step(oracle, at, source)
        text += step
        for byte in step:
            at = oracle.step(at, byte)
        assert len(text) < 5000
    return text


def next_step(oracle: Oracle, at: frozenset[Configuration], source: random.Random) -> bytes:
    """Some byte that may come; often, where it may, what ends a text that could go on for ever."""
    if source.random() < 0.3:
        for end in source.sample((b'"', b"\n</parameter>", b"<escape>", b'<|"|>'), 4):
            reached = at
            for byte in end:
                reached = oracle.step(reached, byte)
            if reached:
                return end
    order = source.sample(range(256), 256)
    return bytes([next(byte for byte in order if oracle.step(at, byte))])


@pytest.mark.parametrize("known", [FUNCTIONGEMMA, GEMMA4], ids=lambda known: known.name)
def test_control_tokens_stand_for_their_texts(known: GemmaFormat) -> None:
    ids = {known.mark: 7, known.closing: 8, known.escape: 70000}
    oracle = Oracle(compile_tools(TOOLS, known.name, control=ids.get, none=True).data)
    written = known.write(VALID[:1])
    assert not oracle.accepts(written.encode())  # neither is it a text: that would be read as a call
    data = written.encode()
    for text, number in ids.items():
        data = data.replace(text.encode(), b"\xff" + number.to_bytes(3, "big"))
    assert oracle.accepts(data)


def test_spacing_is_the_formats_unless_asked_for() -> None:
    call = [Call("get_weather", {"place": "x", "days": 2})]
    compact, spaced = (
        by_name("json").write(call),
        by_name("llama3").write(call).replace("parameters", "arguments"),
    )
    for spacing, accepted in ((None, [compact]), ("spaced", [spaced]), ("free", [compact, spaced])):
        oracle = Oracle(compile_tools(TOOLS, "json", spacing=spacing).data)
        assert [text for text in (compact, spaced) if oracle.accepts(text.encode())] == accepted


@pytest.mark.parametrize(
    ("parameters", "format", "message"),
    [
        (
            {"type": "object", "properties": {"a": {"type": "array", "contains": True}}},
            "json",
            "#/0/parameters/properties/a/contains: ",
        ),
        (
            {"type": "object", "properties": {"a": {"type": "array", "contains": True}}},
            "qwen35",
            "#/0/parameters/properties/a/contains: ",
        ),
        (
            {"type": "object", "properties": {}, "minProperties": 1},
            "qwen35",
            "#/0/parameters/minProperties: 'minProperties' can't be enforced in the format qwen35",
        ),
        (
            {"type": "object", "properties": {"a": {"type": "string", "nullable": True}}},
            "functiongemma",
            "#/0/parameters/properties/a/nullable: 'nullable' can't be enforced",
        ),
        ({"type": "object", "properties": {"a>": {}}}, "qwen35", "the name 'a>' holds one of"),
        ({"type": "object", "required": ["a"]}, "qwen35", "'a' is not among the properties"),
        (
            {"type": "object", "properties": {"a": {"$ref": "#"}}},
            "functiongemma",
            "nested deeper|references lead",
        ),
        ({"type": "object", "properties": {"a": {"type": "array"}}}, "functiongemma", "needs the items"),
    ],
)
def test_what_can_not_be_kept_is_refused_with_its_place(
    parameters: dict[str, Any], format: str, message: str
) -> None:
    with pytest.raises(ConstraintError, match=message):
        compile_tools([{"name": "f", "parameters": parameters}], format)


def test_unknown_formats_and_spacings_are_refused() -> None:
    with pytest.raises(UnsupportedError, match="the formats are"):
        compile_tools(TOOLS, "yaml")
    with pytest.raises(ConstraintError, match="its own spacing"):
        compile_tools(TOOLS, "functiongemma", spacing="free")
