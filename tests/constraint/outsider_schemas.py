"""Schemas and patterns on which constraints and outsiders are compared."""

from __future__ import annotations

from typing import Any

STRING, INTEGER, NUMBER, BOOLEAN = ({"type": name} for name in ("string", "integer", "number", "boolean"))


def closed(required: list[str] | None = None, **properties: Any) -> dict[str, Any]:
    """An object of these properties alone; all are required unless `required` says which."""
    names = list(properties) if required is None else required
    return {"type": "object", "properties": properties, "required": names, "additionalProperties": False}


def listed(items: Any, **bounds: int) -> dict[str, Any]:
    return {"type": "array", "items": items, **bounds}


TREE = closed(["name"], name=STRING, children=listed({"$ref": "#"}))
EXPRESSION = {
    "$defs": {
        "sum": {
            "anyOf": [INTEGER, closed(left={"$ref": "#/$defs/sum"}, op={"enum": ["+", "-"]}, right=INTEGER)]
        }
    },
    "$ref": "#/$defs/sum",
}

SCHEMAS: dict[str, Any] = {
    **{f"type {name}": {"type": name} for name in ("string", "integer", "number", "boolean", "null", "array")},
    "any value": {},
    "true": True,
    "types": {"type": ["string", "null", "integer"]},
    "an object": {"type": "object"},
    "const string": {"const": "the one"},
    "const number": {"const": -17},
    "const list": {"const": [1, "two", None, {"three": False}]},
    "enum of strings": {"enum": ["kitchen", "kitchen light", "bedroom", "bathroom"]},
    "enum of quotes": {"enum": ['say "yes"', "a\\b", "line\nline", "tab\t"]},
    "enum of letters": {"enum": ["café", "日本", "naïve", "😀"]},
    "enum of all kinds": {"enum": [1, 2.5, "1", None, True, [1], {"a": 1}]},
    **{f"integer from {a} to {b}": {"type": "integer", "minimum": a, "maximum": b}
       for a, b in ((0, 9), (0, 100), (-40, 125), (17, 17), (1, 65535), (-1000000, -999), (1995, 2049))},
    "integer from 5": {"type": "integer", "minimum": 5},
    "integer to -3": {"type": "integer", "maximum": -3},
    "integer above 0": {"type": "integer", "exclusiveMinimum": 0},
    "integer below 1000": {"type": "integer", "minimum": 0, "exclusiveMaximum": 1000},
    "multiples of 5": {"type": "integer", "multipleOf": 5, "minimum": 0, "maximum": 1000},
    "number from 0 to 1": {"type": "number", "minimum": 0, "maximum": 1},
    "number from -90 to 90": {"type": "number", "minimum": -90, "maximum": 90},
    "number above 0": {"type": "number", "exclusiveMinimum": 0},
    "number from 1.5 to 2.25": {"type": "number", "minimum": 1.5, "maximum": 2.25},
    **{f"string of {a} to {b}": {"type": "string", "minLength": a, "maxLength": b}
       for a, b in ((0, 1), (1, 5), (3, 3), (0, 40))},
    "string from 2": {"type": "string", "minLength": 2},
    **{f"pattern {pattern}": {"type": "string", "pattern": pattern} for pattern in (
        "^[a-z]+$", "^[A-Z]{2}-[0-9]{3,4}$", "^(red|green|blue)$", "^#[0-9a-f]{6}$", "^\\d{4}-\\d{2}$",
        "^[^\"]*$",
        "^a|b$", "^[a-zé]{1,8}$", "^.{3}$", "^(\\+1)?[0-9 ]{7,}$", "^\\S+@\\S+$", "^v\\d+(\\.\\d+){0,2}$")},
    "pattern and length": {"type": "string", "pattern": "^[a-z]*$", "maxLength": 4},
    **{f"format {name}": {"type": "string", "format": name}
       for name in ("date", "time", "date-time", "uuid", "ipv4", "email")},
    "list of integers": listed(INTEGER),
    "list of strings": listed(STRING),
    "list of lists": listed(listed(BOOLEAN)),
    **{f"list of {a} to {b}": listed(BOOLEAN, minItems=a, maxItems=b)
       for a, b in ((0, 1), (1, 3), (2, 2), (0, 5))},
    "list from 1": listed(INTEGER, minItems=1),
    "tuple": {"type": "array", "prefixItems": [STRING, INTEGER], "items": False, "minItems": 2},
    "tuple and more": {"type": "array", "prefixItems": [BOOLEAN], "items": INTEGER, "minItems": 1},
    "empty object": closed(),
    "one property": closed(a=INTEGER),
    "optional property": closed([], a=INTEGER),
    "optional properties": closed([], a=BOOLEAN, b=BOOLEAN, c=BOOLEAN),
    "some required": closed(["b"], a=BOOLEAN, b=INTEGER, c=STRING),
    "first required": closed(["first"], first=STRING, second=STRING),
    "last required": closed(["third"], first=INTEGER, second=INTEGER, third=INTEGER),
    "keys with common beginnings": closed(["temp"], temp=INTEGER, temperature=INTEGER, temperature_unit=STRING),
    "odd keys": closed(**{'a "b"': INTEGER, "c\\d": INTEGER, "é": INTEGER, "": INTEGER}),
    "nested": closed(user=closed(name=STRING, age=INTEGER), tags=listed(STRING)),
    "deep": closed(a=closed(b=closed(c=closed(d=closed(e=BOOLEAN))))),
    "open object": {"type": "object", "properties": {"a": INTEGER}, "required": ["a"]},
    "open object of optional": {"type": "object", "properties": {"ab": INTEGER, "abc": STRING}},
    "map of integers": {"type": "object", "additionalProperties": INTEGER},
    "properties and a map": {"type": "object", "properties": {"id": INTEGER}, "additionalProperties": STRING},
    "any of types": {"anyOf": [STRING, INTEGER, {"type": "null"}]},
    "any of objects": {
        "anyOf": [closed(kind={"const": "circle"}, r=NUMBER), closed(kind={"const": "box"}, w=INTEGER)]},
    "any of lists": {"anyOf": [listed(INTEGER), listed(STRING)]},
    "optional value": closed([], size={"anyOf": [INTEGER, {"type": "null"}]}),
    "all of": {"allOf": [{"type": "integer"}, {"minimum": 3}, {"maximum": 300}]},
    "reference": {
        "$defs": {"point": closed(x=INTEGER, y=INTEGER)},
        **closed(a={"$ref": "#/$defs/point"}, b={"$ref": "#/$defs/point"})},
    "tree": TREE,
    "expression": EXPRESSION,
    "linked list": closed(["value"], value=INTEGER, next={"anyOf": [{"$ref": "#"}, {"type": "null"}]}),
    "light": closed(
        ["name"], name={"enum": ["kitchen", "hall"]},
        brightness={"type": "integer", "minimum": 0, "maximum": 100},
        color={"enum": ["red", "warm white", "blue"]}),
    "weather": closed(
        ["city"], city=STRING, unit={"enum": ["celsius", "fahrenheit"]},
        days={"type": "integer", "minimum": 1, "maximum": 14}),
    "call": closed(
        name={"const": "turn_on"}, arguments=closed(area={"enum": ["hall", "attic"]}, seconds=INTEGER)),
    "calls": listed(
        {"anyOf": [closed(name={"const": "on"}, arguments=closed(room=STRING)),
                   closed(name={"const": "off"}, arguments=closed(all=BOOLEAN))]},
        minItems=1, maxItems=3),
    "invoice": closed(number={"type": "string", "pattern": "^[A-Z]{2}[0-9]{6}$"}, total=NUMBER,
                      lines=listed(closed(text=STRING, count=INTEGER, price=NUMBER), minItems=1)),
    "person": closed(
        ["name"], name=STRING, born={"type": "string", "format": "date"}, emails=listed(STRING),
        address=closed(street=STRING, zip={"type": "string", "pattern": "^\\d{5}$"})),
}  # fmt: skip

PATTERNS = [
    "abc", "a*", "(ab)+", "[a-z]+", "[^a-z]{2,5}", "a|bc|bcd", "yes|no|maybe( not)?", r"-?\d+(\.\d+)?",
    r"\d{3}-\d{4}", r"[A-Z][a-z]+( [A-Z][a-z]+)*", r"#[0-9a-fA-F]{6}", r"\w+@\w+\.(com|org)", "(a|b)*abb",
    r"(\d{1,3}\.){3}\d{1,3}", r"[\x20-\x7e]*", r"\"[^\"]*\"", r"\s*\{\s*\}\s*", "(?i)hello", "(?s).*end",
    ".{0,20}", "é+|日本", "[а-я]+", "[😀-😎]{2}", r"\[(\d+(, \d+)*)?\]", r"([01]\d|2[0-3]):[0-5]\d", "a{3,}",
    r"(mon|tues|wednes|thurs|fri|satur|sun)day", "(x{2}){3}", r"[a-z]{1,64}", r"<(b|i)>[^<]*</(b|i)>",
    r"(, ?)?and", r"0|[1-9]\d*", r"\d+ (apples|pears)( and \d+ (apples|pears))*", r"([a-z]+/)*[a-z]+\.txt",
    r"\(\d{3}\) \d{3}-\d{4}", r"[^\n]+\n", r"((a|ab)(c|bcd))*", "(a?){5}a{5}", r"[\w.-]+", r"\$\d+",
]  # fmt: skip
