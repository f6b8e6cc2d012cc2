"""JSON Schema: what is accepted is valid to jsonschema, what is valid is accepted, the rest refused by name."""

from __future__ import annotations

import functools
import json
import os
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from tests.constraint import schemas
from tests.constraint.oracle import Oracle
from tinsmith.constraint.grammar import Grammar
from tinsmith.constraint.json_schema import Options, compile_schema, schema_expr
from tinsmith.errors import ConstraintError

SUITE = json.loads((Path(__file__).parent / "suite.json").read_text())

# What of the suite is not enforced, and so refused: keywords, references out of the schema, what is not finite.
REFUSED = (
    "'contains' can't be enforced",
    "'unevaluatedItems' can't be enforced",
    "'unevaluatedProperties' can't be enforced",
    "the opposite of 'unevaluatedProperties' can't be enforced",
    "'dependencies' can't be enforced",
    "'$dynamicRef' can't be enforced",
    "is not in this schema",
    "'uniqueItems' can only be enforced",
    "can't be enforced where keys are free",
    "remainders",
)
# Valid values that are written otherwise, such as 1.0 for 1; so are those of formats: leap seconds, lower case
# t and z, quoted names and literal addresses.
WRITTEN_OTHERWISE = {
    "0.0",
    "1.0",
    "[0.0]",
    "[1.0]",
    "9007199254740992.0",
    "18446744073709551600",
    "-18446744073709551600",
    "1e+308",
}


def compiled(schema: Any, **options: Any) -> Oracle:
    return Oracle(compile_schema(schema, **options).data)


def validator(schema: Any) -> Draft202012Validator:
    return Draft202012Validator(schema, format_checker=Draft202012Validator.FORMAT_CHECKER)


def accepts(oracle: Oracle, value: Any) -> bool:
    return any(oracle.accepts(text.encode()) for text in schemas.written(value))


def dumped(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


@pytest.mark.parametrize(("name", "schema", "cases"), SUITE, ids=[name for name, _, _ in SUITE])
def test_suite(name: str, schema: Any, cases: list[tuple[Any, bool]]) -> None:
    try:
        oracle = compiled(schema)
    except ConstraintError as error:
        if "nothing satisfies" in str(error) or "no text satisfies" in str(error):
            assert not any(valid for _, valid in cases)
        else:
            assert any(part in str(error) for part in REFUSED), error
        return
    for value, valid in cases:
        if accepts(oracle, value) != valid:
            assert valid, f"{value!r} is accepted"
            beyond = isinstance(value, int) and abs(value) >= 10**40
            assert beyond or "format" in name or json.dumps(value) in WRITTEN_OTHERWISE, (
                f"{value!r} is not accepted"
            )


def agree(seed: int) -> str:
    """A random schema, 40 values and a few random texts, judged by jsonschema; what came of it."""
    rng = random.Random(seed)
    schema = schemas.document(rng)
    judge = validator(schema)
    values = [schemas.value(rng) for _ in range(24)] + list(schemas.SCALARS)
    try:
        valid = [judge.is_valid(value) for value in values]
    except BaseException as error:  # to jsonschema a reference that leads back to itself has no end
        if type(error).__name__ not in (
            "RecursionError",
            "PanicException",
        ):  # its library's
            raise
        return "endless"
    try:
        oracle = compiled(schema)
    except ConstraintError as error:
        if "nothing satisfies" in str(error) or "no text satisfies" in str(error):
            assert not any(valid), (seed, dumped(schema))
            return "nothing"
        return "refused"
    for value, expected in zip(values, valid, strict=True):
        assert accepts(oracle, value) == expected, (seed, dumped(schema), value)
    for _ in range(3):
        text = schemas.walk(oracle, rng)
        assert judge.is_valid(json.loads(text)), (seed, dumped(schema), text)
    return "agreed"


@pytest.mark.parametrize("part", range(6))
def test_random_schemas_say_what_jsonschema_says(part: int) -> None:
    compared = [agree(100_000 + 40 * part + k) for k in range(40)]
    assert compared.count("agreed") > 25


@pytest.mark.slow
@pytest.mark.parametrize("part", range(20))
def test_many_random_schemas(part: int) -> None:
    compared = [agree(200_000 + 200 * part + k) for k in range(200)]
    assert compared.count("agreed") > 120


REAL: dict[str, Any] = {
    "function": {
        "type": "object",
        "properties": {
            "city": {"type": "string", "description": "The city."},
            "unit": {"type": "string", "enum": ["celsius", "fahrenheit"]},
            "days": {"type": "integer", "minimum": 1, "maximum": 14, "default": 3},
            "hourly": {"type": "boolean"},
        },
        "required": ["city"],
    },
    "closed, all optional": {
        "type": "object",
        "properties": {
            "a": {"type": "number", "exclusiveMinimum": 0, "maximum": 100},
            "b": {"type": ["string", "null"], "maxLength": 5},
            "c": {"type": "array", "items": {"type": "integer"}, "maxItems": 4},
            "d": {"type": "object", "additionalProperties": {"type": "boolean"}, "maxProperties": 2},
        },
        "additionalProperties": False,
    },
    "tree": {
        "$ref": "#/$defs/node",
        "$defs": {
            "node": {
                "type": "object",
                "properties": {
                    "value": {"type": "integer"},
                    "children": {"type": "array", "items": {"$ref": "#/$defs/node"}, "maxItems": 3},
                },
                "required": ["value"],
                "additionalProperties": False,
            }
        },
    },
    "tagged": {
        "oneOf": [
            {
                "type": "object",
                "properties": {"kind": {"const": "circle"}, "radius": {"type": "number", "minimum": 0}},
                "required": ["kind", "radius"],
                "additionalProperties": False,
            },
            {
                "type": "object",
                "properties": {"kind": {"const": "box"}, "size": {"type": "array", "prefixItems": [{}, {}]}},
                "required": ["kind"],
                "additionalProperties": False,
            },
        ]
    },
    "map": {
        "type": "object",
        "propertyNames": {"pattern": "^[a-z]{1,4}$", "examples": ["a", "abcd", "abcde", "z"]},
        "minProperties": 1,
    },
    "patterns": {
        "type": "object",
        "properties": {
            "id": {"type": "string", "pattern": "^[A-Z]{2}-\\d{3}$", "examples": ["AB-123", "ZZ-000", "zz-1"]}
        },
        "patternProperties": {"^x[0-9]": {"type": "integer", "multipleOf": 5}},
        "additionalProperties": False,
        "required": ["id"],
    },
    "derived": {
        "allOf": [{"$ref": "#/$defs/named"}, {"properties": {"age": {"minimum": 0}}, "required": ["age"]}],
        "properties": {"age": {"type": "integer", "maximum": 150}},
        "$defs": {"named": {"type": "object", "properties": {"name": {"type": "string", "minLength": 1}}}},
    },
    "set": {"type": "array", "items": {"enum": ["r", "g", "b", None, 3]}, "uniqueItems": True, "minItems": 2},
    "if": {
        "type": "object",
        "properties": {
            "pay": {"enum": ["card", "cash"]},
            "number": {"type": "string", "pattern": "^[0-9]{4}$", "examples": ["0123", "4567"]},
        },
        "required": ["pay"],
        "additionalProperties": False,
        "if": {"properties": {"pay": {"const": "card"}}},
        "then": {"required": ["number"]},
        "else": {"properties": {"number": False}},
    },
}


@pytest.mark.parametrize("name", REAL)
def test_valid_values_are_accepted(name: str) -> None:
    schema, rng = REAL[name], random.Random(name)
    oracle, judge = compiled(schema), validator(schema)
    values = [schemas.instance(rng, schema, schema) for _ in range(400)]
    valid = [value for value in values if judge.is_valid(value)]
    assert len(valid) > 100
    for value in valid:
        assert oracle.accepts(dumped(value).encode()), dumped(value)
        assert oracle.accepts(json.dumps(value, separators=(",", ":")).encode()), dumped(value)


@pytest.mark.parametrize("name", REAL)
def test_accepted_texts_are_valid(name: str) -> None:
    oracle, judge, rng = compiled(REAL[name]), validator(REAL[name]), random.Random(name)
    for soft in (10, 40, 100, 200):
        for _ in range(6):
            text = schemas.walk(oracle, rng, soft)
            judge.validate(json.loads(text))


@pytest.mark.parametrize("name", ["date-time", "date", "time", "uuid", "email", "ipv4", "ipv6", "uri"])
def test_formats(name: str) -> None:
    schema = {"type": "string", "format": name}
    oracle, rng = compiled(schema), random.Random(name)
    for _ in range(30):
        validator(schema).validate(json.loads(schemas.walk(oracle, rng, 30)))


def test_accepted_multiples_are_exact() -> None:
    from decimal import Decimal

    schema = {"type": "number", "multipleOf": 0.01, "minimum": -3, "exclusiveMaximum": 2.5}
    oracle, rng = compiled(schema), random.Random(1)
    exact = json.loads(json.dumps(schema), parse_float=Decimal)
    for _ in range(60):
        Draft202012Validator(exact).validate(json.loads(schemas.walk(oracle, rng, 8), parse_float=Decimal))


PAIR = {"type": "object", "properties": {"a": {"type": "integer"}, "b": {"type": "integer"}}, "required": ["a"]}


@pytest.mark.parametrize(
    ("options", "yes", "no"),
    [
        ({}, ['{"a":1,"b":2}', '{"a":1,"c":null}'], ['{"a": 1}', '{"b":2,"a":1}', '{"a":1,"b":2,"a":3}']),
        ({"spacing": "spaced"}, ['{"a": 1, "b": 2}'], ['{"a":1}', '{"a": 1,"b": 2}']),
        (
            {"spacing": "free"},
            ['{"a":1}', ' {\n "a" : 1 ,\t"b":2}\r\n'],
            ['{"b":1, "a":2}', '{"a":1' + " " * 21 + "}"],
        ),
        (
            {"order": "free"},
            ['{"b":2,"a":1}', '{"x":0,"a":1,"y":[],"b":3}'],
            ['{"b":2}', '{"a":1,"b":2,"a":3}'],
        ),
        ({"closed": True}, ['{"a":1,"b":2}'], ['{"a":1,"c":null}', '{"b":1}']),
    ],
)
def test_options(options: dict[str, Any], yes: list[str], no: list[str]) -> None:
    oracle = compiled(PAIR, **options)
    assert [text for text in yes if not oracle.accepts(text.encode())] == []
    assert [text for text in no if oracle.accepts(text.encode())] == []


@pytest.mark.parametrize("wrong", [{"order": "any"}, {"spacing": "wide"}, {"spacing": None}])
def test_options_that_are_none(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConstraintError, match=f"{next(iter(wrong))} is .*; give one of"):
        compile_schema({"type": "null"}, **wrong)


def test_closed_leaves_open_what_says_so() -> None:
    open_ = {"type": "object", "properties": {"a": {}}, "additionalProperties": True}
    assert compiled(open_, closed=True).accepts(b'{"b":1}')
    assert compiled({"type": "object"}, closed=True).accepts(b'{"b":1}')
    parts = {"allOf": [{"properties": {"a": {}}}, {"properties": {"b": {}}}], "type": "object"}
    assert compiled(parts, closed=True).accepts(b'{"a":1,"b":1}')
    assert not compiled(parts, closed=True).accepts(b'{"a":1,"c":1}')


@pytest.mark.parametrize(
    "schema",
    [
        {
            "properties": {key: {"const": key} for key in "abcde"},
            "minProperties": 2,
            "maxProperties": 3,
            "additionalProperties": False,
        },
        {"properties": {"a": {}, "b": {}}, "required": ["b"], "maxProperties": 2},
        {"patternProperties": {"^[ab]$": {"const": 1}}, "additionalProperties": False, "minProperties": 2},
        {
            "properties": {"c": {"const": 1}},
            "additionalProperties": {"const": 2},
            "maxProperties": 2,
            "required": ["c"],
        },
    ],
)
@pytest.mark.parametrize("order", ["schema", "free"])
def test_counts_of_properties(schema: Any, order: Any) -> None:
    oracle, judge, rng = (
        compiled({"type": "object", **schema}, order=order),
        validator(schema),
        random.Random(1),
    )
    for _ in range(300):
        value = {key: rng.choice([1, 2, key]) for key in rng.sample("abcde", rng.randrange(5))}
        assert accepts(oracle, value) == judge.is_valid(value), value


@pytest.mark.parametrize(
    ("schema", "message"),
    [
        (
            {"properties": {"x": {"contains": {}}}},
            "#/properties/x/contains: 'contains' can't be enforced; give",
        ),
        (
            {"minLenght": 3},
            "#/minLenght: 'minLenght' is no keyword that can be enforced; did you mean 'minLength'?",
        ),
        ({"frobnicate": 3}, "#/frobnicate: 'frobnicate' is no keyword that can be enforced; remove it"),
        ({"type": "strng"}, "#/type: 'strng' is no type; give one of null, boolean, integer"),
        ({"type": "string", "format": "isbn"}, "#/format: the format 'isbn' can't be enforced; known are"),
        ({"type": "string", "pattern": "(a"}, "#/pattern"),
        ({"$ref": "other.json"}, "#/$ref: 'other.json' is not in this schema"),
        ({"$ref": "#/$defs/x"}, "#/$ref: '#/$defs/x' leads to nothing: there is no '$defs' in #"),
        ({"items": [{}]}, "#/items: a list here is 'prefixItems'"),
        (
            {"type": "array", "items": {"type": "string"}, "uniqueItems": True},
            "#/uniqueItems: 'uniqueItems' can only",
        ),
        (
            {"type": "object", "minProperties": 2},
            "#/minProperties: 2 properties can't be enforced where keys are free",
        ),
        ({"not": {"items": {"type": "null"}}}, "#/not/items: the opposite of 'items' can't be enforced"),
        ({"multipleOf": 0}, "#/multipleOf: 0 is not above 0"),
        ({"minimum": "1"}, "#/minimum: '1' is no number"),
        ({"minLength": -1}, "#/minLength: -1 is no count"),
        ({"required": "a"}, "#/required: give a list of names"),
        ({"enum": 3}, "#/enum: give a list of values"),
        ({"anyOf": []}, "#/anyOf: give a list of schemas"),
        ({"properties": {"a/b": 3}}, "#/properties/a~1b: 3 is no schema"),
        ({"type": "string", "maxLength": 3, "minLength": 4}, "#: nothing satisfies this schema"),
        ({"allOf": [{"const": 1}, {"const": 2}]}, "#: nothing satisfies this schema"),
        ({"nullable": True}, "#/nullable: 'nullable' can't be enforced; give 'type'"),
    ],
)
def test_refused_by_name(schema: Any, message: str) -> None:
    with pytest.raises(ConstraintError) as error:
        compile_schema(schema)
    assert str(error.value).startswith(message)
    assert "\n" not in str(error.value)


def nested(levels: int, keyword: str, schema: Any) -> Any:
    for _ in range(levels):
        schema = {keyword: [schema] if keyword in ("anyOf", "allOf") else schema}
    return schema


CYCLE: dict[str, Any] = {}
CYCLE["items"] = CYCLE
CHAIN = {f"d{k}": {"allOf": [{"$ref": f"#/$defs/d{k + 1}"}]} for k in range(3000)} | {"d3000": {}}
HOSTILE = {
    "deep": (nested(5000, "items", {}), "deeper than 200 levels"),
    "a Python cycle": (CYCLE, "deeper than 200 levels"),
    "deep anyOf": (nested(95, "anyOf", {"type": "null"}), "more than 50 levels"),
    "deep not": (nested(190, "not", {"type": "null"}), "more than 50 levels"),
    "self": ({"$ref": "#"}, "refers to itself"),
    "self in allOf": ({"allOf": [{"$ref": "#"}]}, "refers to itself"),
    "self in not": ({"not": {"$ref": "#"}}, "refers to itself"),
    "ring": (
        {"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}},
        "refers to",
    ),
    "a long chain": ({"$ref": "#/$defs/d0", "$defs": CHAIN}, "more than 50 levels"),
    "without an end": ({"type": "object", "properties": {"a": {"$ref": "#"}}, "required": ["a"]}, "no text"),
    "many": ({"properties": {f"p{k}": {"minLength": k} for k in range(12_000)}}, "more than 10,000 subschemas"),
    "products": (
        {"allOf": [{"anyOf": [{"properties": {f"p{k}": {"const": j}}} for j in range(9)]} for k in range(9)]},
        "multiply to more than 1,000",
    ),
    "a huge length": ({"minLength": 10**12}, "at most 2,147,483,647"),
    "a huge number": ({"minLength": 10**400}, "at most 2,147,483,647"),
    "a huge integer": ({"enum": [10**5000]}, "exponent beyond"),
    "a long pattern": ({"type": "string", "pattern": "^a*$", "maxLength": 10**6}, "more than 20,000"),
    "states": ({"type": "string", "pattern": "(a|b)*a(a|b){25}$"}, "more than 10,000 states"),
    "sets": ({"type": "array", "items": {"enum": [*range(12)]}, "uniqueItems": True}, "more than 2,000 states"),
    "counts": ({"properties": {f"p{k}": {} for k in range(60)}, "maxProperties": 30}, "12,000 steps"),
    "overlaps": ({"patternProperties": {f"{c}{c}": {"type": "null"} for c in "abcdefgh"}}, "over 64 ways"),
    "a deep value": ({"const": functools.reduce(lambda x, _: [x], range(150), 1)}, "deeper than 50 levels"),
    "not a number": ({"minimum": float("nan")}, "no number of JSON"),
    "bytes": ({"const": b"x"}, "no JSON"),
    "number for a key": ({1: 2}, "no key of JSON"),
    "half a pair": ({"const": "\ud800"}, "half of a surrogate pair"),
    "a list": ([], "no schema"),
    "text": ("{}", "no schema"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_schemas_end_in_an_error(name: str) -> None:
    schema, message = HOSTILE[name]
    with pytest.raises(ConstraintError, match=message) as error:
        compile_schema(schema)
    assert len(str(error.value)) < 500


def test_large_bounds_cost_nothing() -> None:
    assert compile_schema({"type": "array", "items": {"type": "null"}, "minItems": 10**6}).states < 100
    assert compile_schema({"type": "string", "maxLength": 10**9}).states < 100


@settings(max_examples=150, derandomize=True)
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(["type", "items", "anyOf", "properties", "enum", "$ref", "not", "if"]), inner
            )
        ),
        max_leaves=8,
    )
)
def test_whatever_is_given_compiles_or_is_refused(schema: Any) -> None:
    try:
        compile_schema(schema)
    except ConstraintError as error:
        assert "\n" not in str(error)


def test_a_name_before_the_path() -> None:
    grammar = Grammar()
    schema_expr(grammar, {"type": "array"}, "tools[0].parameters", Options(closed=True))
    assert any(name.startswith("tools[0].parameters#") for name in grammar.rules)
    with pytest.raises(ConstraintError, match=r"^tools\[0\]\.parameters#/foo: "):
        schema_expr(grammar, {"foo": 1}, "tools[0].parameters")


def test_two_schemas_in_one_grammar() -> None:
    grammar = Grammar()
    schema_expr(grammar, {"type": "array", "items": {"const": 1}})
    before = dict(grammar.rules)
    schema_expr(grammar, {"type": "array", "items": {"const": 2}})
    assert before.items() <= grammar.rules.items()
    assert len(grammar.rules) > len(before)


def outputs_under_hash_seeds(code: str, schema: Any) -> set[str]:
    return {
        subprocess.run(
            [sys.executable, "-c", code],
            input=json.dumps(schema),
            capture_output=True,
            text=True,
            check=True,
            env={**os.environ, "PYTHONHASHSEED": seed},
        ).stdout
        for seed in ("1", "2", "3")
    }


def test_equal_schemas_give_equal_bytes() -> None:
    code = (
        "import sys, json, hashlib; from tinsmith.constraint.json_schema import compile_schema\n"
        "print([hashlib.sha256(compile_schema(s).data).hexdigest() for s in json.load(sys.stdin)])"
    )
    assert len(outputs_under_hash_seeds(code, list(REAL.values()))) == 1


def test_of_several_wrong_references_the_first_by_name_is_reported() -> None:
    code = (
        "import sys, json; from tinsmith.constraint.json_schema import compile_schema\n"
        "try: compile_schema(json.load(sys.stdin))\n"
        "except Exception as error: print(error)"
    )
    names = list("hgfedcba")
    wrong = {name: {"allOf": [{"$ref": f"#/$defs/{name}"}]} for name in names}
    (output,) = outputs_under_hash_seeds(code, {"type": "object", "properties": wrong, "required": names})
    assert output.startswith("#/properties/a/allOf/0/$ref: ")
