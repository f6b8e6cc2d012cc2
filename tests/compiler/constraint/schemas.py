"""Random schemas over a small world, its values, random walks through a constraint, and how values are written."""

from __future__ import annotations

import itertools
import json
import random
from typing import Any

from oracle import Oracle

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
    found = schema(rng)
    if isinstance(found, dict) and "$ref" in json.dumps(found):
        found["$defs"] = {"one": schema(rng, 2), "two": schema(rng, 2)}
    return found


def written(value: Any, most: int = 200) -> list[str]:
    """A value in compact JSON, with the keys of its objects in all orders."""
    if isinstance(value, list):
        parts = itertools.product(*[written(one, 6) for one in value])
        return ["[" + ",".join(part) + "]" for part in itertools.islice(parts, most)]
    if isinstance(value, dict):
        found = []
        for keys in itertools.permutations(value):
            for parts in itertools.product(*[written(value[key], 6) for key in keys]):
                pairs = (
                    f"{json.dumps(key, ensure_ascii=False)}:{part}"
                    for key, part in zip(keys, parts, strict=True)
                )
                found.append("{" + ",".join(pairs) + "}")
        return found[:most]
    return [json.dumps(value, ensure_ascii=False)]


def walk(oracle: Oracle, rng: random.Random, soft: int = 40, most: int = 4000) -> bytes:
    """A random text that the constraint accepts; after `soft` bytes it goes the shortest way to its end."""
    found = bytearray()
    members: dict[int, list[int]] = {}
    for byte, kind in enumerate(oracle.class_of):
        members.setdefault(kind, []).append(byte)
    at = oracle.begin()
    while len(found) < most:
        if oracle.ends(at) and (len(found) >= soft or rng.random() < 0.3):
            return bytes(found)
        options = []
        for bytes_ in members.values():
            byte = rng.choice(bytes_)
            after = oracle.step(at, byte)
            if after:
                options.append((byte, after))
        if not options:
            return bytes(found)
        if len(found) < soft:
            byte, at = rng.choice(options)
        else:
            byte, at = min(options, key=lambda option: min(_left(oracle, one) for one in option[1]))
        found.append(byte)
    raise AssertionError(f"no end in {most} bytes: {bytes(found[:200])!r}")


def _left(oracle: Oracle, configuration: tuple[int, int]) -> int:
    """Bytes of the shortest way to the end."""
    state, stack = configuration
    left = oracle.states[state][3]
    while stack:
        stack, call, done = oracle.frames[stack]
        enter, leave, least, _, _ = oracle.calls[call]
        left += oracle.states[leave][3] + max(least - done - 1, 0) * oracle.states[enter][3]
    return left
