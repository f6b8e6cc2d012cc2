"""A JSON Schema as a document: JSON of bounded size, its subschemas numbered, its references resolved."""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from typing import Any
from urllib.parse import unquote, urldefrag, urljoin

from tinsmith.constraint.automata import numbers
from tinsmith.errors import ConstraintError

MOST_DEPTH = 200  # levels of lists and objects
MOST_VALUES = 500_000
MOST_SCHEMAS = 10_000
MOST_BOUND = 0x7FFFFFFF  # of counts: repeats have no larger ones
MOST_VALUE_DEPTH = 50  # levels of a value in enum or const

TYPES = ("null", "boolean", "integer", "number", "string", "array", "object")
ONE = ("additionalProperties", "propertyNames", "items", "if", "then", "else", "not")
MANY = ("allOf", "anyOf", "oneOf", "prefixItems")
NAMED = ("properties", "patternProperties", "dependentSchemas", "$defs", "definitions")
COUNTS = ("minLength", "maxLength", "minItems", "maxItems", "minProperties", "maxProperties")
TEXTS = ("$ref", "pattern", "format")
PLAIN = (
    *("$ref", "type", "enum", "const"),
    *("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"),
    *("minLength", "maxLength", "pattern", "format", "minItems", "maxItems", "uniqueItems"),
    *("required", "minProperties", "maxProperties", "dependentRequired"),
)
ANNOTATIONS = (
    *("title", "description", "default", "examples", "example", "deprecated", "readOnly", "writeOnly"),
    *("contentMediaType", "contentEncoding", "contentSchema", "discriminator", "$comment", "$schema", "$id"),
    *("$anchor", "$dynamicAnchor", "$vocabulary", "$defs", "definitions"),
)
KNOWN = frozenset((*ONE, *MANY, *NAMED, *PLAIN, *ANNOTATIONS))
# Keywords that can't be enforced, and what to do instead.
REFUSED = {
    "contains": "give 'items' or 'prefixItems'",
    "minContains": "give 'items' or 'prefixItems'",
    "maxContains": "give 'items' or 'prefixItems'",
    "unevaluatedItems": "give 'items': false beside 'prefixItems'",
    "unevaluatedProperties": "give 'additionalProperties': false where all properties are declared",
    "$dynamicRef": "give '$ref'",
    "$recursiveRef": "give '$ref'",
    "additionalItems": "that is 'items' beside 'prefixItems' since draft 2020-12",
    "dependencies": "that is 'dependentRequired' or 'dependentSchemas' since draft 2019-09",
    "nullable": "give 'type': [..., 'null']",
}

# Of those, keywords without effect unless an array or object is possible; refused only then.
LATE = ("contains", "minContains", "maxContains", "unevaluatedItems", "unevaluatedProperties")


@dataclass(frozen=True, eq=False)
class Node:
    """A subschema. base: the URI that its references are relative to."""

    path: str
    schema: Any
    base: str

    def error(self, keyword: str | None, message: str) -> ConstraintError:
        path = self.path if len(self.path) <= 200 else f"{self.path[:100]}...{self.path[-90:]}"
        return ConstraintError(f"{path}{'/' + escape(keyword) if keyword else ''}: {message}")

    def refusal(self, keyword: str) -> ConstraintError:
        return self.error(keyword, f"'{keyword}' can't be enforced; {REFUSED[keyword]}, or remove it")

    def count(self, keyword: str) -> int | None:
        """A bound of lengths: a whole number from 0."""
        value = self.schema.get(keyword)
        if keyword not in self.schema:
            return None
        if isinstance(value, bool) or not isinstance(value, int | float) or value != int(value) or value < 0:
            raise self.error(keyword, f"{show(value)} is no count; give a whole number from 0")
        if value > MOST_BOUND:
            raise self.error(keyword, f"{show(value)} is too large; give at most {MOST_BOUND:,}")
        return int(value)

    def text(self, keyword: str) -> None:
        value = self.schema[keyword]
        if not isinstance(value, str):
            raise self.error(keyword, f"{show(value)} is no text; give text")

    def number(self, keyword: str) -> Fraction | None:
        value = self.schema.get(keyword)
        if keyword not in self.schema:
            return None
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise self.error(keyword, f"{show(value)} is no number")
        try:
            return numbers.exact(value)
        except ConstraintError as error:
            raise self.error(keyword, str(error)) from None

    def step(self) -> Fraction | None:
        """What multipleOf says."""
        step = self.number("multipleOf")
        if step is not None and step <= 0:
            raise self.error(
                "multipleOf", f"{show(self.schema['multipleOf'])} is not above 0; give one that is"
            )
        return step

    def names(self, keyword: str) -> list[str]:
        value = self.schema.get(keyword, [])
        if not isinstance(value, list) or not all(isinstance(name, str) for name in value):
            raise self.error(keyword, "give a list of names")
        return value

    def types(self) -> frozenset[str]:
        """The types that `type` allows; all where it is absent."""
        value = self.schema.get("type", TYPES)
        given = [value] if isinstance(value, str) else value
        if not isinstance(given, list | tuple) or not given:
            raise self.error("type", f"give one of {', '.join(TYPES)}, or a list of them")
        for name in given:
            if name not in TYPES:
                raise self.error("type", f"{show(name)} is no type; give one of {', '.join(TYPES)}")
        return frozenset(given)


class Document:
    """nodes: the subschemas in use, numbered from 1; a negative number is the opposite of one."""

    def __init__(self, schema: Any, path: str = "") -> None:
        self.root_path = f"{path}#"
        check_json(schema, self.root_path)
        self.schema = schema
        self.nodes: list[Node] = [Node("", False, "")]
        self.numbers: dict[str, int] = {}
        self.root = self.add(Node(self.root_path, schema, _base("", schema)))

    def add(self, node: Node) -> int:
        number = self.numbers.get(node.path)
        if number is None:
            if not isinstance(node.schema, dict | bool):
                raise node.error(None, f"{show(node.schema)} is no schema; give an object, true or false")
            number = self.numbers[node.path] = len(self.nodes)
            self.nodes.append(node)
            if number > MOST_SCHEMAS:
                raise node.error(None, f"the schema has more than {MOST_SCHEMAS:,} subschemas; make it smaller")
        return number

    def child(self, node: Node, keyword: str) -> int:
        return self.add(_child(node, keyword))

    def children(self, node: Node, keyword: str) -> list[int]:
        """Those of a list, such as anyOf."""
        given = node.schema[keyword]
        if not isinstance(given, list) or not given:
            raise node.error(keyword, "give a list of schemas")
        return [self.add(part) for part in _parts(node, keyword, given)]

    def named(self, node: Node, keyword: str) -> dict[str, int]:
        """Those of an object, such as properties."""
        given = node.schema.get(keyword, {})
        if not isinstance(given, dict):
            raise node.error(keyword, "give an object of schemas")
        return dict(zip(given, map(self.add, _parts(node, keyword, given)), strict=True))

    def target(self, node: Node) -> int:
        """What $ref refers to."""
        ref = node.schema["$ref"]
        if not isinstance(ref, str):
            raise node.error("$ref", f"{show(ref)} is no reference; give one such as '#/$defs/name'")
        try:
            uri, fragment = urldefrag(urljoin(node.base, ref) if not ref.startswith("#") else node.base + ref)
        except ValueError:
            raise node.error("$ref", f"{show(ref)} is no reference; give one such as '#/$defs/name'") from None
        fragment = unquote(fragment)
        anchor, pointer = (fragment, "") if fragment and not fragment.startswith("/") else ("", fragment)
        place = (self.root_path, self.schema) if (uri, anchor) == (self.nodes[1].base, "") else None
        if place is None:
            place = self.places.get((uri, anchor))
        if place is None:
            raise node.error(
                "$ref",
                f"{show(ref)} is not in this schema; put what it means under '$defs' and give '#/$defs/name'",
            )
        at = Node(place[0], place[1], uri)
        for part in pointer.split("/")[1:]:
            key = part.replace("~1", "/").replace("~0", "~")
            if isinstance(at.schema, list):
                at = Node(at.path, {str(index): one for index, one in enumerate(at.schema)}, at.base)
            if not isinstance(at.schema, dict) or key not in at.schema:
                raise node.error("$ref", f"{show(ref)} leads to nothing: there is no {show(part)} in {at.path}")
            at = _child(at, key)
        return self.add(at)

    @cached_property
    def places(self) -> dict[tuple[str, str], tuple[str, Any]]:
        """Where the resources ($id) and their anchors are: by URI and anchor."""
        places: dict[tuple[str, str], tuple[str, Any]] = {}
        for node in _schemas(self.nodes[1]):
            names = [""] if "$id" in node.schema else []
            names += [str(node.schema[key]) for key in ("$anchor", "$dynamicAnchor") if key in node.schema]
            for name in names:
                places.setdefault((node.base, name), (node.path, node.schema))
        return places

    def check_keywords(self, node: Node) -> None:
        for keyword in node.schema:
            if keyword in COUNTS:
                node.count(keyword)  # also where nothing that it speaks of can be
            elif keyword in ("pattern", "format"):
                node.text(keyword)
            if keyword in KNOWN or keyword in LATE or keyword.startswith("x-"):
                continue
            if keyword in REFUSED:
                raise node.refusal(keyword)
            near = difflib.get_close_matches(keyword, KNOWN, 1)
            hint = (
                f"did you mean '{near[0]}'?"
                if near
                else "remove it, or begin its name with 'x-' if it says nothing"
            )
            raise node.error(keyword, f"'{keyword}' is no keyword that can be enforced; {hint}")


def _base(base: str, schema: Any) -> str:
    given = schema.get("$id") if isinstance(schema, dict) else None
    return urldefrag(urljoin(base, given))[0] if isinstance(given, str) else base


def _child(node: Node, key: Any) -> Node:
    schema = node.schema[key]
    return Node(f"{node.path}/{escape(str(key))}", schema, _base(node.base, schema))


def _parts(node: Node, keyword: str, given: list[Any] | dict[str, Any]) -> list[Node]:
    """The subschemas in the list or object given for a keyword."""
    schemas = given if isinstance(given, dict) else dict(enumerate(given))
    parent = Node(f"{node.path}/{keyword}", schemas, node.base)
    return [_child(parent, key) for key in schemas]


def _schemas(root: Node) -> Iterator[Node]:
    """All subschemas that are objects, by the keywords that hold them."""
    waiting = [root]
    for node in waiting:
        if not isinstance(node.schema, dict):
            continue
        yield node
        for keyword, value in node.schema.items():
            if keyword in ONE:
                waiting.append(_child(node, keyword))
            elif (keyword in NAMED and isinstance(value, dict)) or (
                keyword in MANY and isinstance(value, list)
            ):
                waiting += _parts(node, keyword, value)


def check_json(value: Any, path: str) -> None:
    """ConstraintError unless it is JSON, of bounded depth and size."""
    waiting: list[tuple[Any, str, int]] = [(value, path, 0)]
    seen = 0
    while waiting:
        at, where, depth = waiting.pop()
        seen += 1
        if seen > MOST_VALUES:
            raise ConstraintError(f"{path}: the schema has more than {MOST_VALUES:,} values; make it smaller")
        if isinstance(at, dict | list):
            if depth >= MOST_DEPTH:
                raise ConstraintError(f"{where[:80]}: nests deeper than {MOST_DEPTH} levels; make it flatter")
            if isinstance(at, dict):
                for key in at:
                    _check_text(key, where)
                waiting += [(part, f"{where}/{escape(key)}", depth + 1) for key, part in at.items()]
            else:
                waiting += [(part, f"{where}/{index}", depth + 1) for index, part in enumerate(at)]
        elif isinstance(at, str):
            _check_text(at, where)
        elif isinstance(at, float):
            if not math.isfinite(at):
                raise ConstraintError(f"{where}: {at} is no number of JSON; give a finite one")
        elif at is not None and not isinstance(at, int):
            raise ConstraintError(f"{where}: {show(at)} is no JSON; give dict, list, str, number, bool or None")


def check_types(schema: Any, path: str) -> None:
    """ConstraintError where a keyword anywhere in a schema has a value of the wrong type; what keywords say
    together is not looked at."""
    document = Document(schema, path)
    for node in document.nodes:  # which grow on the way
        if isinstance(node.schema, bool):
            continue
        node.types()
        node.names("required")
        for keyword, value in node.schema.items():
            if keyword in ONE:
                document.child(node, keyword)
            elif keyword in MANY:
                document.children(node, keyword)
            elif keyword in NAMED:
                document.named(node, keyword)
            elif keyword in COUNTS:
                node.count(keyword)
            elif keyword in TEXTS:
                node.text(keyword)
            elif keyword == "enum" and not isinstance(value, list):
                raise node.error(keyword, "give a list of values")


def extent(value: Any) -> tuple[int, int]:
    """Levels of lists and objects, and how many values are inside of them, at any depth."""
    level, levels, count = [value], 0, 0
    while level := [one for one in level if isinstance(one, dict | list)]:
        level = [part for one in level for part in (one.values() if isinstance(one, dict) else one)]
        levels, count = levels + 1, count + len(level)
    return levels, count


def _check_text(text: Any, where: str) -> None:
    if not isinstance(text, str):
        raise ConstraintError(f"{where}: {show(text)} is no key of JSON; give text")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ConstraintError(f"{where}: {show(text)} has half of a surrogate pair") from None


def escape(name: str) -> str:
    """A step of a JSON pointer."""
    return name.replace("~", "~0").replace("/", "~1")


def show(value: Any) -> str:
    """A value in a message, cut where it is long."""
    try:
        text = repr(value)
    except ValueError:  # a whole number of thousands of digits
        text = "a huge number"
    except Exception:  # of an object that is no JSON
        text = f"a {type(value).__name__}"
    return text if len(text) <= 60 else text[:57] + "..."
