"""Random inputs to every front end: a constraint that is right, or a ConstraintError of one line."""

from __future__ import annotations

import decimal
import json
import os
import random
import re
from typing import Any

import jsonschema
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.constraint.checked import checked, tool
from tests.constraint.oracle import Oracle
from tinsmith.chat.tool_formats import FORMATS
from tinsmith.constraint import makers
from tinsmith.constraint.calls.tools import compile_tools
from tinsmith.constraint.json_schema import compile_schema

CHARACTERS = st.sampled_from(list('ab1"\\/\n\t \0é\u2028😀')) | st.characters(exclude_categories=["Cs"])
TEXTS = st.text(CHARACTERS, max_size=4)
NAMES = st.sampled_from(["a", "b", "c", 'q"', "é\n"])
NUMBERS = st.sampled_from([0, 1, 2, 3, -1, 0.5, 0.01, 2.5, 10, 100, -7.25, 1e-7, 1e16, 10**20, 2**53 + 1])
COUNTS = st.integers(0, 4)
FORMATS_OF_TEXT = ["date-time", "date", "time", "uuid", "email", "ipv4", "ipv6", "uri"]
SMALL = st.none() | st.booleans() | NUMBERS | TEXTS
JSON = st.recursive(
    SMALL, lambda v: st.lists(v, max_size=3) | st.dictionaries(NAMES, v, max_size=3), max_leaves=5
)
PIECES = st.sampled_from(
    [
        "a",
        "b",
        ".",
        "[a-c]",
        r"\d",
        r"\w",
        r"[^\W1]",
        r"\s",
        "é",
        "^",
        "$",
        r"\b",
        r"\p{Lu}",
        "(?=a)",
        "(?!b)",
        "|",
        "x",
    ]
)
REGEXES = st.recursive(
    PIECES,
    lambda part: (
        st.lists(part, min_size=1, max_size=4).map("".join)
        | st.tuples(part, st.sampled_from(["*", "+", "?", "{2}", "{0,3}", "{2,}", "*?"])).map(
            lambda p: f"(?:{p[0]}){p[1]}"
        )
        | part.map(lambda p: f"({p})")
    ),
    max_leaves=6,
)


def _schemas(part: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    some = st.lists(part, min_size=1, max_size=3)
    named = st.dictionaries(NAMES, part, max_size=3)
    types = st.sampled_from(["null", "boolean", "integer", "number", "string", "array", "object"])
    optional: dict[str, st.SearchStrategy[Any]] = {
        **dict.fromkeys(("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"), NUMBERS),
        **dict.fromkeys(
            ("minLength", "maxLength", "minItems", "maxItems", "minProperties", "maxProperties"), COUNTS
        ),
        **dict.fromkeys(("items", "additionalProperties", "propertyNames", "if", "then", "else", "not"), part),
        **dict.fromkeys(("prefixItems", "allOf", "anyOf", "oneOf"), some),
        **dict.fromkeys(("properties", "dependentSchemas"), named),
        "type": types | st.lists(types, max_size=3, unique=True),
        "enum": st.lists(JSON, min_size=1, max_size=4),
        "const": JSON,
        "pattern": REGEXES,
        "format": st.sampled_from(FORMATS_OF_TEXT),
        "uniqueItems": st.booleans(),
        "required": st.lists(NAMES, max_size=3),
        "patternProperties": st.dictionaries(REGEXES, part, max_size=2),
        "dependentRequired": st.dictionaries(NAMES, st.lists(NAMES, max_size=2), max_size=2),
        "$ref": st.sampled_from(["#", "#/$defs/a", "#/$defs/b", "#/properties/a", "#/x"]),
        "$defs": st.fixed_dictionaries({"a": part, "b": part}),
    }
    keywords = st.lists(st.sampled_from(sorted(optional)), min_size=1, max_size=4, unique=True)
    valid = keywords.flatmap(lambda keys: st.fixed_dictionaries({key: optional[key] for key in keys}))
    # Now and then a value of any type.
    broken = st.tuples(valid, st.sampled_from(sorted(optional)), JSON).map(lambda t: {**t[0], t[1]: t[2]})
    return valid | valid | valid | valid | broken


SCHEMAS_AT_RANDOM = st.recursive(st.booleans() | st.just({}), _schemas, max_leaves=6)


def walk(oracle: Oracle, rng: random.Random, most: int = 120) -> bytes | None:
    """A random text that the constraint accepts; None: not ended in time."""
    configurations, text = oracle.begin(), bytearray()
    while len(text) < most:
        if oracle.ends(configurations) and (len(text) > 60 or rng.random() < 0.3):
            return bytes(text)
        after = {byte: step for byte in _bytes(oracle, rng) if (step := oracle.step(configurations, byte))}
        if not after:
            return bytes(text) if oracle.ends(configurations) else None
        byte = (
            rng.choice([b for b in after if b in b'"]}'] or list(after))
            if len(text) > 50
            else rng.choice(list(after))
        )
        text.append(byte)
        configurations = after[byte]
    return None


def _bytes(oracle: Oracle, rng: random.Random) -> list[int]:
    """One byte of every class of bytes that are alike."""
    classes: dict[int, list[int]] = {}
    for byte, number in enumerate(oracle.class_of):
        classes.setdefault(number, []).append(byte)
    return [rng.choice(alike) for alike in classes.values()]


def instance(text: bytes) -> tuple[Any, Any]:
    """The value with binary floats, and with decimals."""
    return json.loads(text), json.loads(text, parse_float=decimal.Decimal)


def validates(schema: Any, value: Any) -> bool:
    validator = jsonschema.Draft202012Validator
    try:
        return bool(validator(schema, format_checker=validator.FORMAT_CHECKER).is_valid(value))
    except re.error:  # Python knows no \p{..}
        return True


def decimals(schema: Any) -> Any:
    return json.loads(json.dumps(schema), parse_float=decimal.Decimal)


QUIET = settings(derandomize=True, database=None, suppress_health_check=list(HealthCheck), print_blob=False)
MANY = int(os.environ.get("TINSMITH_EXAMPLES", "1"))  # times as many examples, for a long run by hand


def many(count: int) -> settings:
    return settings(QUIET, max_examples=count * MANY, derandomize=MANY == 1)


@many(120)
@given(SCHEMAS_AT_RANDOM, st.sampled_from(["compact", "spaced", "free"]), st.sampled_from(["schema", "free"]))
def test_a_random_schema(schema: Any, spacing: Any, order: Any) -> None:
    compiled = checked(lambda: compile_schema(schema, spacing=spacing, order=order))
    if compiled is None:
        return
    oracle, rng = Oracle(compiled.data), random.Random(1)
    for _ in range(4):
        text = walk(oracle, rng)
        if text is not None:
            value, exact = instance(text)
            assert validates(decimals(schema), exact) or validates(schema, value), text


@many(150)
@given(REGEXES | st.text(st.sampled_from("ab(|)*+?{},2[]^-$.\\dwpLu:=!<>é")))
def test_a_random_pattern(pattern: str) -> None:
    compiled = checked(lambda: makers.regex(pattern))
    if compiled is None or r"\p" in pattern or r"\b" in pattern:
        return
    try:
        expected = re.compile(pattern)
    except re.error:
        return
    oracle, rng = Oracle(compiled.data), random.Random(1)
    for _ in range(4):
        text = walk(oracle, rng)
        if text is not None:
            assert expected.fullmatch(text.decode()), text


WORDS = [
    *(
        "root",
        "::=",
        "start",
        ":",
        "a",
        "b",
        "|",
        "(",
        ")",
        "*",
        "+",
        "?",
        "{2}",
        "{1,}",
        '"x"',
        '"\\n"',
        "\n",
        "#",
    ),
    *("[a-z]", "[^b]", ".", "~", "/x+/", "A", "B", "!", "<[5]>", "~2..3", "%ignore", "%json", "{}", "->", "_"),
    *("%import", "common.INT"),
]


@many(150)
@given(st.lists(st.sampled_from(WORDS), max_size=25), st.sampled_from(["root ::= ", "start: "]))
def test_a_random_grammar(words: list[str], begins: str) -> None:
    text = begins + " ".join(words)
    for kind in ("gbnf", "lark"):
        compiled = checked(lambda: makers.grammar(text, kind))  # noqa: B023
        if compiled is not None:
            Oracle(compiled.data)


@many(60)
@given(
    st.dictionaries(NAMES, SCHEMAS_AT_RANDOM, max_size=3),
    st.lists(NAMES, max_size=2),
    st.sampled_from(list(FORMATS)),
)
def test_random_tools(properties: dict[str, Any], required: list[str], format: str) -> None:
    parameters = {"type": "object", "properties": properties, "required": required}
    compiled = checked(lambda: compile_tools(tool(parameters), format))
    if compiled is None:
        return
    oracle, rng = Oracle(compiled.data), random.Random(1)
    for _ in range(3):
        text = walk(oracle, rng, 200)
        if text is not None and format == "json":
            assert validates(parameters, json.loads(text)["arguments"]), text
