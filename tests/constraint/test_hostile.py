"""Hostile inputs to every front end: a constraint that is right, or a ConstraintError of one
line; within bounds of memory and time that the system keeps."""

from __future__ import annotations

import decimal
import os
import resource
from collections.abc import Callable
from typing import Any

import pytest

from tests.constraint.checked import checked, tool
from tinsmith.chat.tool_formats import FORMATS
from tinsmith.constraint import makers
from tinsmith.constraint.calls.tools import compile_tools
from tinsmith.constraint.json_schema import compile_schema
from tinsmith.constraint.schema.document import KNOWN, REFUSED
from tinsmith.errors import ConstraintError

MOST_MEMORY = 500 << 20
MOST_SECONDS = 10  # of the processor

Make = Callable[[], Any]


def nested(levels: int, around: Callable[[Any], Any], value: Any = True) -> Any:
    for _ in range(levels):
        value = around(value)
    return value


def cyclic() -> Any:
    schema: dict[str, Any] = {"properties": {}}
    schema["properties"]["a"] = schema
    return schema


def doubled(levels: int) -> Any:
    """A few objects that stand for 2 ** levels."""
    return nested(levels, lambda part: {"anyOf": [part, part]}, {"type": "array"})


def bounded(make: Make) -> str:
    """What a child with bounded memory and time comes to: "", or the message of its ConstraintError."""
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        os.close(reading)
        try:
            outcome = _outcome(make)
        except BaseException as error:
            outcome = f"!{type(error).__name__}: {error}"
        os.write(writing, outcome.encode("utf-8", "backslashreplace")[:60_000])
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        outcome = pipe.read().decode()
    _, status = os.waitpid(child, 0)
    assert status == 0, f"ended by signal {status & 0x7F}"
    assert not outcome.startswith("!"), outcome
    return outcome


def _outcome(make: Make) -> str:
    with open("/proc/self/statm") as file:  # noqa: PTH123
        now = int(file.read().split()[0]) * resource.getpagesize()
    used = resource.getrusage(resource.RUSAGE_SELF)
    seconds = int(used.ru_utime + used.ru_stime) + MOST_SECONDS
    resource.setrlimit(resource.RLIMIT_AS, (now + MOST_MEMORY, now + MOST_MEMORY))
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
    try:
        make()
    except ConstraintError as error:
        return str(error)
    return ""


def names(count: int) -> list[str]:
    return [f"p{k}" for k in range(count)]


def integers(count: int) -> dict[str, Any]:
    return {name: {"type": "integer"} for name in names(count)}


# What each comes to: a part of the message; "": a constraint.
SCHEMAS: dict[str, tuple[Make, str]] = {
    "arrays in arrays": (lambda: nested(10_000, lambda s: {"items": s}), "deeper than 200 levels"),
    "allOf in allOf": (lambda: nested(60, lambda s: {"allOf": [s]}), "more than 50 levels"),
    "not in not": (lambda: nested(60, lambda s: {"not": s}), "more than 50 levels"),
    "a deep const": (lambda: {"const": nested(60, lambda v: [v], 1)}, "deeper than 50 levels"),
    "optional properties": (lambda: {"properties": integers(5_000)}, "more than 2,000,000 steps"),
    "properties": (lambda: {"properties": integers(100_000)}, "more than 10,000 subschemas"),
    "required": (lambda: {"required": names(100_000)}, "at most 10,000"),
    "an enum": (lambda: {"enum": [str(k) for k in range(1_000_000)]}, "more than 500,000 values"),
    "values of a const": (lambda: {"const": dict.fromkeys(names(60_000))}, "at most 50,000"),
    "a long text": (lambda: {"const": "x" * 10_000_000}, "more than 250,000 states"),
    "items": (lambda: {"type": "array", "minItems": 10**9}, ""),
    "more items": (lambda: {"type": "array", "minItems": 10**100}, "at most 2,147,483,647"),
    "items of items": (lambda: nested(9, lambda s: {"type": "array", "minItems": 10**9, "items": s}), "bounds"),
    "a length": (lambda: {"type": "string", "maxLength": 10**9}, ""),
    "a length of digits": (lambda: {"maxLength": 10**5_000}, "at most 2,147,483,647"),
    "a length of a pattern": (lambda: {"pattern": "a+", "maxLength": 10**9}, "more than 20,000"),
    "a length of letters": (
        lambda: {"pattern": r"\p{L}(?=x)[^\d]*", "minLength": 3, "maxLength": 300},
        "250,000 edges",
    ),
    "letters": (lambda: {"pattern": r"^\p{L}{1,300}$"}, "80,000 states"),
    "a step": (lambda: {"type": "number", "multipleOf": 1e-300}, ""),
    "a large step": (lambda: {"type": "integer", "multipleOf": 10**300}, "#"),
    "a step that is none": (lambda: {"multipleOf": float("nan")}, "#/multipleOf: nan is no number of JSON"),
    "a bound that is none": (lambda: {"minimum": float("inf")}, "#/minimum: inf is no number of JSON"),
    "a bound of digits": (lambda: {"minimum": 10**5_000}, "#/minimum: a bound has an exponent beyond 400"),
    "bounds that cross": (lambda: {"type": "integer", "minimum": 5, "maximum": 4}, "nothing satisfies"),
    "a reference to itself": (lambda: {"$ref": "#"}, "refers to itself"),
    "allOf of each other": (
        lambda: {
            "$ref": "#/$defs/a",
            "$defs": {"a": {"allOf": [{"$ref": "#/$defs/b"}]}, "b": {"$ref": "#/$defs/a", "minimum": 1}},
        },
        "refers to itself",
    ),
    "a reference to nowhere": (lambda: {"$ref": "#/$defs/x"}, "leads to nothing"),
    "a reference to a number": (lambda: {"$ref": "#/minimum", "minimum": 3}, "3 is no schema"),
    "a reference of many digits": (
        lambda: {"$ref": "#/allOf/" + "0" * 5_000, "allOf": [True]},
        "leads to nothing",
    ),
    "a reference with escapes": (
        lambda: {"$ref": "#/%24defs/a~1b%20~0", "$defs": {"a/b ~": {"type": "null"}}},
        "",
    ),
    "every set of subschemas": (
        lambda: {
            "$ref": "#/$defs/0",
            "$defs": {
                str(k): {
                    "properties": {
                        "a": {"$ref": f"#/$defs/{(k + 1) % 14}"},
                        "b": {"allOf": [{"$ref": f"#/$defs/{n % 14}"} for n in (k + 1, 3 * k + 2, 0)]},
                    }
                }
                for k in range(14)
            },
        },
        "more than 300,000 times",
    ),
    "oneOf of objects": (
        lambda: {"oneOf": [{"properties": {f"a{k}": {"const": k}}, "required": [f"a{k}"]} for k in range(200)]},
        "more than 300,000 times",
    ),
    "oneOf of objects with a tag": (
        lambda: {
            "oneOf": [
                {"type": "object", "properties": {"kind": {"const": f"k{k}"}}, "required": ["kind"]}
                for k in range(200)
            ]
        },
        "",
    ),
    "patterns of properties": (
        lambda: {"patternProperties": {f"^.{{{k}}}": {"minimum": k} for k in range(300)}},
        "over 64 ways",
    ),
    "different items": (
        lambda: {"type": "array", "uniqueItems": True, "items": {"enum": list(range(64))}},
        "more than 2,000 states",
    ),
    "a cycle of dicts": (cyclic, "deeper than 200 levels"),
    "a doubled schema": (lambda: doubled(60), "more than 500,000 values"),
    "an unknown keyword": (lambda: {"minLenght": 3}, "did you mean 'minLength'?"),
    "a line in a keyword": (lambda: {"a\nb": 3}, r"#/a\nb: "),
    "a line in a name": (lambda: {"properties": {"\x1b[31m\r\n": {"type": "x"}}}, r"\x1b[31m\r\n/type: 'x'"),
    "names of all kinds": (
        lambda: {"properties": {name: {} for name in ('"', "\n", "\0", "😀", "\\", "/~", "")}},
        "",
    ),
    "half of a pair": (lambda: {"required": ["\ud800"]}, "half of a surrogate pair"),
    "a key that is no text": (lambda: {"properties": {1: {}}}, "#/properties: 1 is no key of JSON"),
    "bytes": (lambda: {"const": b"x"}, "#/const: b'x' is no JSON"),
    "a set": (lambda: {"enum": {1}}, "#/enum: {1} is no JSON"),
    "a decimal": (lambda: {"minimum": decimal.Decimal(1)}, "is no JSON"),
    "no schema": (lambda: 3, "3 is no schema"),
}


@pytest.mark.parametrize("name", SCHEMAS)
def test_a_hostile_schema(name: str) -> None:
    make, expected = SCHEMAS[name]
    outcome = bounded(lambda: compile_schema(make()))
    assert expected in outcome and bool(expected) == bool(outcome), outcome


PATTERNS = {
    "(a+)+$": "",
    "^(a|b)*a(a|b){20}$": "states",
    "(a{1000}){1000}": "more than 20,000 states",
    "(.*a){25}": "",
    ".{100000}": "more than 20,000 states",
    r"[\s\S]{5000}": "",
    r"(?=(.*a){5})(?=(.*b){5})(?=(.*c){5})(?=(.*d){5}).*": "",
    "(" * 5_000 + "a" + ")" * 5_000: "200",
    "a" * 100_000: "at most 20,000",
    "(){1000000}": "more than 20,000 states",
    r"(a)\1": "backreference",
}


@pytest.mark.parametrize("pattern", PATTERNS, ids=ascii)
def test_a_hostile_pattern(pattern: str) -> None:
    outcome = bounded(lambda: makers.regex(pattern))
    assert PATTERNS[pattern] in outcome and bool(PATTERNS[pattern]) == bool(outcome), outcome


GRAMMARS: dict[str, tuple[Make, str]] = {
    "gbnf groups": (lambda: makers.grammar("root ::= " + "(" * 10_000), "more than 50 deep"),
    "gbnf repeats": (lambda: makers.grammar('root ::= ((("a"{1000}){1000}){1000}){1000}'), "bytes or more"),
    "gbnf ambiguity": (
        lambda: makers.grammar('root ::= [ab]* "a" [ab]{18}'),
        "root: this part needs more than",
    ),
    "gbnf left recursion": (lambda: makers.grammar('root ::= root root | "a"'), ""),
    "gbnf of bytes": (lambda: makers.grammar(b"root"), "give str"),  # type: ignore[arg-type]
    "lark groups": (lambda: makers.grammar("start: " + "(" * 10_000, "lark"), "deep"),
    "lark of nothing": (lambda: makers.grammar(None, "lark"), "give str"),  # type: ignore[arg-type]
    "a pattern of bytes": (lambda: makers.regex(b"a"), "give str"),  # type: ignore[arg-type]
    "choices": (lambda: makers.choices([str(k) for k in range(1_000_000)]), "at most 10,000"),
    "long choices": (lambda: makers.choices(["x" * 10_000_000]), "at most 100,000"),
    "choices of a number": (lambda: makers.choices(5), "give a list"),  # type: ignore[arg-type]
    "a choice of digits": (lambda: makers.choices([10**5_000]), "choice 0"),  # type: ignore[list-item]
}


@pytest.mark.parametrize("name", GRAMMARS)
def test_a_hostile_grammar(name: str) -> None:
    make, expected = GRAMMARS[name]
    outcome = bounded(make)
    assert expected in outcome and bool(expected) == bool(outcome), outcome


VALUES: list[Any] = [None, True, False, 0, -1, 1.5, "x", [], {}, [None], [{}], [[]], {"a": None}, {"a": 1}]
VALUES += [{"a": []}, ["x", 1], {"x": ["a"]}, "", 10**30, [True]]
PLACES: list[Callable[[str, Any], Any]] = [
    lambda keyword, value: {keyword: value},
    lambda keyword, value: {"not": {keyword: value}},
    lambda keyword, value: {"oneOf": [{keyword: value}, {"type": "null"}]},
    lambda keyword, value: {"type": "object", "properties": {"a": {keyword: value}}, "required": ["a"]},
]


@pytest.mark.parametrize("place", range(len(PLACES)))
def test_every_keyword_with_values_of_every_type(place: int) -> None:
    for keyword in sorted((*KNOWN, *REFUSED, "x-else", "else-x")):
        for value in VALUES:
            schema = PLACES[place](keyword, value)
            checked(lambda: compile_schema(schema))  # noqa: B023


@pytest.mark.parametrize("format", FORMATS)
def test_tools_with_values_of_every_type(format: str) -> None:
    keywords = ("type", "properties", "required", "enum", "items", "minItems", "pattern", "format", "minLength")
    for value in VALUES:
        for tools in (value, [value], tool(value), tool({}, value)):
            checked(lambda: compile_tools(tools, format))  # noqa: B023
        for keyword in (*keywords, "anyOf", "allOf", "$ref", "const", "maxLength"):
            for kind in ("string", "array", "object"):
                part = {"type": kind, keyword: value}
                checked(lambda: compile_tools(tool({"type": "object", "properties": {"a": part}}), format))  # noqa: B023
            checked(lambda: compile_tools(tool({"type": "object", keyword: value}), format))  # noqa: B023
