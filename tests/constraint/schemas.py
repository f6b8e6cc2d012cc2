"""Random schemas over a small world, and its values; values of real schemas; walks of constraints."""

from __future__ import annotations

import functools
import itertools
import json
import random
import re
from collections.abc import Callable
from typing import Any

from tests.constraint.oracle import Oracle

SCALARS = (None, True, False, 0, 1, 2, 7, -3, 0.5, 2.5, "", "a", "b", "ab", "abc", "x1")
KEYS = ("a", "b", "c", "x1")
TYPES = ("null", "boolean", "integer", "number", "string", "array", "object")


def value(rng: random.Random, depth: int = 2) -> Any:
    kind = rng.random()
    if depth == 0 or kind < 0.4:
        return rng.choice(SCALARS)
    if kind < 0.65:
        return [value(rng, depth - 1) for _ in range(rng.randrange(4))]
    keys = rng.sample(KEYS, rng.randrange(4))
    return {key: value(rng, depth - 1) for key in keys}


def schema(rng: random.Random, depth: int = 3, defs: bool = True) -> Any:
    """A schema of one to three keywords that go together, and now and then of others that do not."""
    if depth == 0:
        return rng.choice(
            [True, True, {}, False, {"type": rng.choice(TYPES)}, {"enum": rng.sample(SCALARS, 3)}]
        )

    def sub() -> Any:
        return schema(rng, depth - 1, defs)

    def number() -> Any:
        return rng.choice([-3, 0, 0.5, 1, 2, 2.5, 7])

    def count() -> int:
        return rng.randrange(4)

    def named() -> dict[str, Any]:
        return {key: sub() for key in rng.sample(KEYS, rng.randrange(1, 4))}

    makers: dict[str, Any] = {
        "type": lambda: rng.choice([rng.choice(TYPES), rng.sample(TYPES, rng.randrange(1, 4))]),
        "enum": lambda: [value(rng, 1) for _ in range(rng.randrange(1, 5))],
        "const": lambda: value(rng, 1),
        "minimum": number,
        "maximum": number,
        "exclusiveMinimum": number,
        "exclusiveMaximum": number,
        "multipleOf": lambda: rng.choice([1, 2, 0.5, 3]),
        "minLength": count,
        "maxLength": count,
        "pattern": lambda: rng.choice(["^a", "b", "^[ab]*$", "^(a|x1)$", "1$", ""]),
        "items": sub,
        "prefixItems": lambda: [sub() for _ in range(rng.randrange(1, 4))],
        "minItems": count,
        "maxItems": count,
        "uniqueItems": lambda: rng.random() < 0.5,
        "properties": named,
        "required": lambda: rng.sample(KEYS, rng.randrange(3)),
        "additionalProperties": sub,
        "patternProperties": lambda: {rng.choice(["^a", "b", "[0-9]", "^(a|b)$"]): sub() for _ in range(2)},
        "propertyNames": lambda: rng.choice(
            [{"pattern": "^[ab]"}, {"maxLength": 1}, {"enum": ["a", "b"]}, True]
        ),
        "minProperties": count,
        "maxProperties": count,
        "dependentRequired": lambda: {rng.choice(KEYS): rng.sample(KEYS, 1)},
        "dependentSchemas": lambda: {rng.choice(KEYS): sub()},
        "anyOf": lambda: [sub() for _ in range(rng.randrange(1, 4))],
        "oneOf": lambda: [sub() for _ in range(rng.randrange(1, 4))],
        "allOf": lambda: [sub() for _ in range(rng.randrange(1, 3))],
        "not": sub,
        "if": sub,
        "then": sub,
        "else": sub,
        "$ref": lambda: rng.choice(["#/$defs/one", "#/$defs/two"]),
    }
    together = rng.choice(
        [
            ("type",),
            ("enum", "const"),
            ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf", "type"),
            ("minLength", "maxLength", "pattern", "type"),
            ("items", "prefixItems", "minItems", "maxItems", "uniqueItems", "type"),
            ("properties", "required", "additionalProperties", "type"),
            ("properties", "required", "patternProperties", "propertyNames", "minProperties", "maxProperties"),
            ("properties", "dependentRequired", "dependentSchemas", "required"),
            ("anyOf", "oneOf", "allOf", "not"),
            ("if", "then", "else"),
            ("$ref",) if defs else ("type",),
        ]
    )
    words = rng.sample(together, min(len(together), rng.randrange(1, 4)))
    if rng.random() < 0.3:
        words.append(rng.choice([word for word in makers if word != "$ref"]))
    return {word: makers[word]() for word in words}


def document(rng: random.Random) -> Any:
    """With two definitions, which may refer to each other."""
    made = schema(rng)
    if isinstance(made, dict) and "$ref" in json.dumps(made):
        made["$defs"] = {"one": schema(rng, 2), "two": schema(rng, 2)}
    return made


def instance(rng: random.Random, schema: Any, root: Any) -> Any:
    """A value that most likely satisfies a schema of the kind people write, keys in order; judge it before use.
    Where there is a pattern, `examples` say what fits."""
    if not isinstance(schema, dict) or not schema.keys() - {"description", "default", "title", "$defs"}:
        return value(rng, 1)
    for keyword in ("allOf", "anyOf", "oneOf", "$ref"):
        if keyword in schema:
            rest = {word: what for word, what in schema.items() if word != keyword}
            if keyword == "$ref":
                parts = [functools.reduce(lambda at, step: at[step], schema["$ref"].split("/")[1:], root)]
            else:
                parts = schema[keyword] if keyword == "allOf" else [rng.choice(schema[keyword])]
            return instance(rng, functools.reduce(_merged, [*parts, rest]), root)
    if "const" in schema or "enum" in schema:
        return rng.choice(schema.get("enum", [schema.get("const")]))
    if "pattern" in schema or "format" in schema:
        return rng.choice(schema["examples"])
    kinds = schema.get("type", "object" if "properties" in schema else [*TYPES])
    kind = kinds if isinstance(kinds, str) else rng.choice(kinds)
    return _KINDS[kind](rng, schema, root)


def _merged(a: Any, b: Any) -> Any:
    both = {"properties", "required"} & a.keys() & b.keys()
    merged = {**a, **b}
    if "properties" in both:
        names = {**a["properties"], **b["properties"]}
        merged["properties"] = {
            name: {**a["properties"].get(name, {}), **b["properties"].get(name, {})} for name in names
        }
    if "required" in both:
        merged["required"] = [*a["required"], *b["required"]]
    return merged


def _integer(rng: random.Random, schema: Any, root: Any) -> int:
    low, high = (
        schema.get("minimum", -(10 ** rng.randrange(20))),
        schema.get("maximum", 10 ** rng.randrange(20)),
    )
    return rng.randint(low, max(low, high))


def _number(rng: random.Random, schema: Any, root: Any) -> float:
    low = schema.get("minimum", schema.get("exclusiveMinimum", -1000))
    high = schema.get("maximum", schema.get("exclusiveMaximum", low + 2000))
    made = rng.choice([rng.uniform(low, high), round(rng.uniform(low, high), 2), rng.uniform(low, high) * 1e-9])
    return int(made) if made == int(made) else made


def _string(rng: random.Random, schema: Any, root: Any) -> str:
    least = schema.get("minLength", 0)
    count = rng.randint(least, min(schema.get("maxLength", least + 12), least + 12))
    return "".join(rng.choice('abc XYZ019_-"\\/\n\x7f\u00e9\u4e2d\U0001f600') for _ in range(count))


def _array(rng: random.Random, schema: Any, root: Any) -> list[Any]:
    prefix, least = schema.get("prefixItems", []), schema.get("minItems", 0)
    count = rng.randint(least, min(schema.get("maxItems", least + 3), least + 3))
    return [
        instance(rng, prefix[k] if k < len(prefix) else schema.get("items", True), root) for k in range(count)
    ]


def _object(rng: random.Random, schema: Any, root: Any) -> dict[str, Any]:
    needed = schema.get("required", [])
    made = {
        name: instance(rng, part, root)
        for name, part in schema.get("properties", {}).items()
        if part is not False and (name in needed or rng.random() < 0.5)
    }
    for name in needed:
        if name not in made:
            made[name] = value(rng, 1)
    for pattern, part in schema.get("patternProperties", {}).items():
        made |= {
            key: instance(rng, part, root) for key in KEYS if re.search(pattern, key) and rng.random() < 0.5
        }
    rest = schema.get("additionalProperties", True)
    if rest is not False and rng.random() < 0.5:
        keys = schema.get("propertyNames", {}).get("examples", ["further", "x y", "\u00fc", *KEYS])
        for key in rng.sample(keys, rng.randint(1, 2)):
            made.setdefault(key, instance(rng, rest, root))
    return made


_KINDS: dict[str, Callable[..., Any]] = {
    "null": lambda rng, schema, root: None,
    "boolean": lambda rng, schema, root: rng.random() < 0.5,
    "integer": _integer,
    "number": _number,
    "string": _string,
    "array": _array,
    "object": _object,
}


def written(value: Any, most: int = 2000) -> list[str]:
    """A value in compact JSON, with the keys of its objects in all orders."""
    if isinstance(value, list):
        parts = itertools.product(*[written(one, 6) for one in value])
        return ["[" + ",".join(part) + "]" for part in itertools.islice(parts, most)]
    if isinstance(value, dict):
        made = []
        for keys in itertools.permutations(value):
            for parts in itertools.product(*[written(value[key], 6) for key in keys]):
                pairs = (
                    f"{json.dumps(key, ensure_ascii=False)}:{part}"
                    for key, part in zip(keys, parts, strict=True)
                )
                made.append("{" + ",".join(pairs) + "}")
        return made[:most]
    return [json.dumps(value, ensure_ascii=False)]


def walk(oracle: Oracle, rng: random.Random, soft: int = 40, most: int = 4000) -> bytes:
    """A random text that the constraint accepts; after `soft` bytes it goes the shortest way to its end."""
    text = bytearray()
    members: dict[int, list[int]] = {}
    for byte, kind in enumerate(oracle.class_of):
        members.setdefault(kind, []).append(byte)
    at = oracle.begin()
    while len(text) < most:
        if oracle.ends(at) and (len(text) >= soft or rng.random() < 0.3):
            return bytes(text)
        options = []
        for bytes_ in members.values():
            byte = rng.choice(bytes_)
            after = oracle.step(at, byte)
            if after:
                options.append((byte, after))
        if not options:
            return bytes(text)
        if len(text) < soft:
            byte, at = rng.choice(options)
        else:
            byte, at = min(options, key=lambda option: min(_left(oracle, one) for one in option[1]))
        text.append(byte)
    raise AssertionError(f"no end in {most} bytes: {bytes(text[:200])!r}")


def _left(oracle: Oracle, configuration: tuple[int, int]) -> int:
    """Bytes of the shortest way to the end."""
    state, stack = configuration
    left = oracle.states[state][3]
    while stack:
        stack, call, done = oracle.frames[stack]
        enter, leave, least, _, _ = oracle.calls[call]
        left += oracle.states[leave][3] + max(least - done - 1, 0) * oracle.states[enter][3]
    return left
