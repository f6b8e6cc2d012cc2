"""Values as FunctionGemma and Gemma 4 write them: keys without quotes and in the order of their names, texts
between marks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from tinsmith.chat.tool_formats.functiongemma import GemmaFormat, in_order
from tinsmith.chat.tool_formats.kinds import kinds, referred
from tinsmith.constraint.calls import texts
from tinsmith.constraint.grammar import (
    EMPTY,
    Expr,
    Grammar,
    Literal,
    Ref,
    Repeat,
    choice,
    optional,
    sequence,
    text,
)
from tinsmith.errors import ConstraintError

_DEEPEST = 32
_NUMBERS = frozenset(("null", "boolean", "integer", "number"))


def _refuse_others(schema: Mapping[str, Any], known: tuple[str, ...], path: str, format: str) -> None:
    """Refuses keywords except the known ones and annotations."""
    for keyword in schema:
        if keyword not in known and keyword not in texts.ANNOTATIONS and not keyword.startswith("x-"):
            raise ConstraintError(
                f"{path}/{keyword}: {keyword!r} can't be enforced in the format {format}; remove it, or use "
                "format json"
            )


def properties_of(schema: Mapping[str, Any], path: str, format: str) -> Iterator[tuple[str, Any, bool]]:
    """Name, schema and whether it is required, of every property of an object. ConstraintError for what an
    object of named properties alone can't keep."""
    _refuse_others(schema, ("type", "properties", "required", "additionalProperties", "nullable"), path, format)
    properties, required = schema.get("properties", {}), schema.get("required", [])
    for name in required:
        if name not in properties:
            raise ConstraintError(f"{path}/required: {name!r} is not among the properties; describe it there")
    for name, value in properties.items():
        yield name, value, name in required


class Objects:
    """Values of one tool's arguments. root: the schema that references are in; escape: what stands around
    texts."""

    def __init__(self, grammar: Grammar, known: GemmaFormat, root: Mapping[str, Any], escape: Literal) -> None:
        self._grammar, self._known, self._root, self._escape = grammar, known, root, escape

    def value(self, schema: Any, path: str, depth: int = 0) -> Expr:
        if depth > _DEEPEST:
            raise ConstraintError(f"{path}: nested deeper than {_DEEPEST} levels; the format has no recursion")
        stated = set(schema) - texts.ANNOTATIONS if isinstance(schema, Mapping) else set[str]()
        if stated == {"$ref"}:
            return self.value(referred(schema["$ref"], self._root), path, depth + 1)
        if stated == {"anyOf"}:
            return choice(
                self.value(one, f"{path}/anyOf/{k}", depth + 1) for k, one in enumerate(schema["anyOf"])
            )
        may = kinds(schema, self._root)
        parts: list[Expr] = []
        if may & _NUMBERS:
            parts.append(self._number(schema, may & _NUMBERS, path))
        if "string" in may:
            content = texts.text(schema, self._root, self._known.escape, path)
            parts.append(sequence((self._escape, content, self._escape)))
        if "array" in may and "items" in stated:
            parts.append(self._array(schema, path, depth))
        if "object" in may and "properties" in stated:
            parts.append(self.object(schema, path, depth))
        if may & {"array", "object"} and len(may) <= 2 and not parts:
            raise ConstraintError(f"{path}: the format {self._known.name} needs the items or properties")
        return choice(parts)

    def object(self, schema: Mapping[str, Any], path: str, depth: int = 0) -> Expr:
        known = {name: (value, needed) for name, value, needed in properties_of(schema, path, self._known.name)}
        names = in_order(known)
        pairs = []
        for name in names:
            value = self._rule(self.value(known[name][0], f"{path}/properties/{name}", depth + 1))
            pairs.append(sequence((text(f"{name}:"), value)))
        needed = [known[name][1] for name in names]
        later = [sequence((text(","), pair)) for pair in pairs]
        rest: list[Expr] = [EMPTY]  # what may follow a pair, from the last one backwards
        for number in range(len(names) - 1, 0, -1):
            here = later[number] if needed[number] else optional(later[number])
            rest.append(self._rule(sequence((here, rest[-1]))))
        rest.reverse()
        begins: list[Expr] = []
        for number, pair in enumerate(pairs):
            begins.append(sequence((pair, rest[number])))
            if needed[number]:
                break
        else:
            begins.append(EMPTY)
        return sequence((text("{"), choice(begins), text("}")))

    def _array(self, schema: Mapping[str, Any], path: str, depth: int) -> Expr:
        _refuse_others(schema, ("type", "items", "minItems", "maxItems", "nullable"), path, self._known.name)
        item = self._rule(self.value(schema["items"], f"{path}/items", depth + 1))
        least, most = schema.get("minItems", 0), schema.get("maxItems")
        if most == 0:
            return text("[]")
        more = Repeat(sequence((text(","), item)), max(least - 1, 0), None if most is None else most - 1)
        some = sequence((item, more))
        return sequence((text("["), some if least else optional(some), text("]")))

    def _number(self, schema: Any, may: frozenset[str], path: str) -> Expr:
        said = schema if isinstance(schema, Mapping) else {}
        kept = {name: value for name, value in said.items() if name not in ("items", "properties", "required")}
        kept["type"] = sorted(may - {"integer"} if "number" in may else may)
        return texts.json_value(self._grammar, kept, path, "compact")

    def _rule(self, value: Expr) -> Ref:
        name = f"gemma.{len(self._grammar.rules)}"
        self._grammar.rules[name] = value
        return Ref(name)
