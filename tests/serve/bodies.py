"""Requests of the maximum size that an OpenAPI document allows, valid and invalid."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

Kind = dict[str, Any]  # a JSON Schema of the document
Grown = Iterator[tuple[str, Any]]  # where the value is large, and the value
_DEEP = 6  # models within one another
_MESSAGES = [{"role": "user", "content": "in the"}]


@dataclass(frozen=True)
class Large:
    """A request whose body is nearly as long as it may be. wrong: it goes against the document."""

    path: str
    where: str
    wrong: bool
    body: bytes

    @property
    def weight(self) -> tuple[int, int]:
        return self.body.count(b",") + self.body.count(b"["), len(self.body)

    @property
    def name(self) -> str:
        return f"{self.path} {'wrong' if self.wrong else 'valid'} {self.where}"


def all_of(document: Kind, size: int, wanted: Sequence[Large] | None = None) -> list[Large]:
    """Of each path with a body, for each part of it that may be large. wanted: or these alone, in this size."""
    made = {}
    for path, operations in document["paths"].items():
        if "post" not in operations:
            continue
        schema = operations["post"]["requestBody"]["content"]["application/json"]["schema"]
        for wrong in (False, True):
            only = (
                None
                if wanted is None
                else [one.where for one in wanted if (one.path, one.wrong) == (path, wrong)]
            )
            maker = _Maker(document["components"]["schemas"], only)
            for where, value in maker.spoiled(schema, size) if wrong else maker.grown(schema, size):
                body = json.dumps(value, separators=(",", ":")).encode()
                if only is None or where in only:
                    made[path, where, wrong] = Large(path, where, wrong, body)
    return list(made.values())


def heaviest(requests: Sequence[Large], parts: bool = False) -> list[Large]:
    """Of each path, or of each field of its body, the two that hold most values: a valid and a wrong one."""
    best: dict[tuple[str, str, bool], Large] = {}
    for one in requests:
        key = (one.path, one.where.partition(".")[0] if parts else "", one.wrong)
        if key not in best or one.weight > best[key].weight:
            best[key] = one
    return list(best.values())


class _Maker:
    def __init__(self, schemas: dict[str, Kind], wanted: Sequence[str] | None) -> None:
        self._schemas, self._wanted = schemas, wanted

    def _skips(self, where: str) -> bool:
        """Whether nothing in this part is wanted."""
        return self._wanted is not None and not any(one.startswith(where) for one in self._wanted)

    def _known(self, schema: Kind) -> Kind:
        while "$ref" in schema:
            schema = self._schemas[schema["$ref"].rpartition("/")[2]]
        return schema

    def least(self, schema: Kind) -> Any:
        """The smallest value that is one."""
        schema = self._known(schema)
        for key in ("anyOf", "oneOf"):
            if key in schema:
                return self.least(schema[key][0])
        if "const" in schema:
            return schema["const"]
        if "enum" in schema:
            return schema["enum"][0]
        kind = schema.get("type")
        if kind == "object":
            needed = schema.get("required", ())
            return {
                name: self._given(name, one)
                for name, one in schema.get("properties", {}).items()
                if name in needed
            }
        if kind == "array":
            return [self.least(schema["items"])] * schema.get("minItems", 0)
        if kind in ("integer", "number"):
            return max(schema.get("minimum", 0), 0) + ("exclusiveMinimum" in schema)
        return {"string": "a" * schema.get("minLength", 0), "boolean": True, "null": None}.get(kind, 1)

    def _given(self, name: str, schema: Kind) -> Any:
        """A field's; some mean nothing where they are empty."""
        value = self.least(schema)
        return _MESSAGES if name == "messages" and not isinstance(value, str) and value else value

    def grown(self, schema: Kind, room: int, at: str = "", depth: int = 0) -> Grown:
        """Values as large as may be. at: where they stand."""
        schema = self._known(schema)
        if self._skips(at):
            return
        for one in (*schema.get("anyOf", ()), *schema.get("oneOf", ())):
            yield from self.grown(one, room, at, depth)
        kind = schema.get("type")
        if kind == "string" and not {"const", "enum", "pattern"} & schema.keys():
            yield f"{at}text", "a" * (min(schema.get("maxLength", room), room) - 2)
        elif kind == "array" and depth < _DEEP and (most := schema.get("maxItems", room)):
            item = self.least(schema["items"])
            yield f"{at}many", [item] * min(most, room // (len(_written(item)) + 1))
            for where, value in self.grown(schema["items"], room, f"{at}0.", depth + 1):
                yield where, [value] * max(1, min(most, room // (len(_written(value)) + 1)))
        elif kind == "object" and depth < _DEEP:
            yield from self._fields(schema, room, at, depth, self.grown)
            inner = schema.get("additionalProperties", "properties" not in schema)
            if inner is not False:
                least = self.least({} if inner is True else inner)
                yield f"{at}many", self._table(least, min(schema.get("maxProperties", room), room // 10))
        elif kind is None and not schema.keys() & {"anyOf", "oneOf", "const", "enum"}:
            yield f"{at}any table", self._table(1, room // 10)
            yield f"{at}any list", [[]] * (room // 3)

    def spoiled(self, schema: Kind, room: int, at: str = "", depth: int = 0) -> Grown:
        """Values with as many faults as there is room for, or with one at the end."""
        schema = self._known(schema)
        if self._skips(at):
            return
        for one in (*schema.get("anyOf", ()), *schema.get("oneOf", ())):
            yield from self.spoiled(one, room, at, depth)
        kind = schema.get("type")
        if kind == "string" and "maxLength" in schema:
            yield f"{at}long", "a" * (room - 2)
        elif kind == "array" and depth < _DEEP:
            item = self.least(schema["items"])
            wrong: Any = "" if isinstance(item, dict) else {}
            count = min(schema.get("maxItems", room), room // (len(_written(item)) + 1))
            yield f"{at}all", [wrong] * (room // 3)
            yield f"{at}more", [item] * (room // (len(_written(item)) + 1))
            yield f"{at}last", [item] * (count - 1) + [wrong]
            for where, value in self.spoiled(schema["items"], room, f"{at}0.", depth + 1):
                yield where, [value] * max(1, room // (len(_written(value)) + 1))
        elif kind == "object" and depth < _DEEP:
            yield from self._fields(schema, room, at, depth, self.spoiled)
            if schema.get("additionalProperties") is False:
                yield f"{at}unknown", {**self.least(schema), **{f"f{k}": 1 for k in range(room // 11)}}
            elif isinstance(schema.get("additionalProperties"), dict):
                yield f"{at}values", self._table([], room // 11)

    def _fields(self, schema: Kind, room: int, at: str, depth: int, make: Callable[..., Grown]) -> Grown:
        least = self.least(schema)
        left = room - len(_written(least)) - 40
        for name, one in schema.get("properties", {}).items():
            for where, value in make(one, left, f"{at}{name}.", depth + 1):
                yield where, {**least, name: value}

    @staticmethod
    def _table(value: Any, count: int) -> Kind:
        return {str(k): value for k in range(count)}


def _written(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"))
