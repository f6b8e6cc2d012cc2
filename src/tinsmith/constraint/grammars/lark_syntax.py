"""The parser of Lark grammars in llguidance's dialect (its docs/syntax.md): text to definitions."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import Any

from tinsmith.constraint.cursor import OPERATORS
from tinsmith.constraint.grammars.source import MOST_NESTING, Source

RULE = re.compile(r"_?[a-z](?:[_a-z0-9]|-(?!>))*")
TERMINAL = re.compile(r"_?[A-Z](?:[_A-Z0-9]|-(?!>))*")
STRING = re.compile(r'"((?:\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}|x[0-9a-fA-F]{2})|[^"\\\x00-\x1f\x7f])*)"(i?)')
PATTERN = re.compile(r"/((?:\\.|[^/\\])+)/([a-z]*)")
NUMBER = re.compile(r"[0-9]{1,9}(?![0-9])")
BLANK = re.compile(r"(?:[ \t\f]|(?:#|//)[^\n]*)+")
LINES = re.compile(r"(?:[ \t\f\r\n]|(?:#|//)[^\n]*)+")
NO_OPTIONS = re.compile(r"%llguidance\s*\{\s*\}")
UNKNOWN = {
    "%regex": "substrings", "%lark": "nested grammars", "%if": "conditions", "@": "grammars by name",
    "<": "control tokens", "&": "intersections", "~": "complements",
}  # fmt: skip


@dataclass(frozen=True, eq=False)
class Node:
    """Base of the classes below; at: its place in the grammar."""

    at: int


@dataclass(frozen=True, eq=False)
class Text(Node):
    value: str
    any_case: bool = False


@dataclass(frozen=True, eq=False)
class Range(Node):
    low: int
    high: int


@dataclass(frozen=True, eq=False)
class Pattern(Node):
    """A regular expression with its flags."""

    value: str
    flags: str = ""


@dataclass(frozen=True, eq=False)
class Name(Node):
    """A rule, or a terminal if in capitals."""

    value: str


@dataclass(frozen=True, eq=False)
class Json(Node):
    schema: Any


@dataclass(frozen=True, eq=False)
class Row(Node):
    parts: tuple[Node, ...]


@dataclass(frozen=True, eq=False)
class Either(Node):
    parts: tuple[Node, ...]


@dataclass(frozen=True, eq=False)
class Times(Node):
    part: Node
    least: int
    most: int | None


@dataclass
class Document:
    """definitions: rules and terminals by name. imports: name here → name in `common` and place."""

    definitions: dict[str, Node] = field(default_factory=dict)
    ignored: list[Node] = field(default_factory=list)
    imports: dict[str, tuple[str, int]] = field(default_factory=dict)


class Parser(Source):
    def __init__(self, grammar: str) -> None:
        super().__init__(grammar, "Lark")

    def symbol(self, expected: str) -> bool:
        self.match(BLANK)
        return self.take(expected)

    def document(self) -> Document:
        document = Document()
        while True:
            self.match(LINES)
            if not self.peek():
                return document
            self.statement(document)
            self.match(BLANK)
            if self.peek() not in ("", "\r", "\n"):
                self.fail(f"{self.here()} can't stand here; a definition ends with its line")

    def statement(self, document: Document) -> None:
        if self.take("%import"):
            self.imported(document)
        elif self.take("%ignore"):
            document.ignored.append(self.options(0))
        elif self.peek() != "%":
            self.definition(document)
        elif not self.match(NO_OPTIONS):
            self.fail("an unknown statement; known are %import, %ignore and %llguidance {}")

    def imported(self, document: Document) -> None:
        """common.NAME, common.NAME -> OTHER, or common (NAME, NAME)."""
        self.match(BLANK)
        at = self.at
        if not self.take("common"):
            self.fail("only %import common.NAME is supported; write other terminals into this grammar")
        many = self.symbol("(")
        if not many and not self.take("."):
            self.fail(f"expected '.' and a name after 'common', not {self.here()}")
        names = [self.terminal()]
        while many and self.symbol(","):
            names.append(self.terminal())
        if many:
            self.close(")", at)
        new = [self.terminal()] if not many and self.symbol("->") else names
        for name, common in zip(new, names, strict=True):
            self.unused(document, name, at)
            document.imports[name] = (common, at)

    def terminal(self) -> str:
        self.match(BLANK)
        match = self.match(TERMINAL)
        if match is None:
            self.fail(f"expected a terminal's name in capitals, not {self.here()}")
        return match.group()

    def unused(self, document: Document, name: str, at: int) -> None:
        if name in document.definitions or name in document.imports:
            self.fail(f"{name} is already defined; define each name once", at)

    def definition(self, document: Document) -> None:
        at = self.at
        # A rule's mark affects the parse tree, not the text.
        mark = self.take("?") or self.take("!")
        match = self.match(RULE) or (None if mark else self.match(TERMINAL))
        if match is None:
            self.fail(f"expected the name of a rule or a TERMINAL, not {self.here()}")
        name = match.group()
        self.unused(document, name, at)
        self.refuse({"{": "templates", "[": "attributes", "::": "parametric rules", ".": "priorities"})
        if not self.symbol(":"):
            self.fail(f"expected ':' after the name {name}, not {self.here()}")
        document.definitions[name] = self.options(0)

    def refuse(self, unknown: dict[str, str]) -> None:
        for written, what in unknown.items():
            if self.text.startswith(written, self.at):
                self.fail(f"{what} ({written}) are not supported; write the rules out")

    def close(self, bracket: str, at: int) -> None:
        if not self.symbol(bracket):
            self.fail(f"expected {bracket!r} for what begins at {self.place(at)}, not {self.here()}")

    def options(self, depth: int) -> Node:
        """Alternatives. depth: number of enclosing brackets, in which line ends are ignored."""
        if depth > MOST_NESTING:
            self.fail(f"groups nest more than {MOST_NESTING} deep; make inner ones rules")
        at, parts = self.at, [self.row(depth)]
        while True:
            before = self.at
            self.match(LINES)
            if not self.take("|"):
                self.at = before
                return parts[0] if len(parts) == 1 else Either(at, tuple(parts))
            self.match(LINES)
            parts.append(self.row(depth))

    def row(self, depth: int) -> Node:
        """An alternative, and its name in the parse tree, which is ignored."""
        at, parts = self.at, list[Node]()
        while True:
            self.match(LINES if depth else BLANK)
            if self.peek() in ("", "\r", "\n", "|", ")", "]", "}", "-"):
                break
            parts.append(self.item(depth))
        if self.symbol("->"):
            self.match(BLANK)
            if self.match(RULE) is None:
                self.fail(f"expected a name after '->', not {self.here()}")
        return parts[0] if len(parts) == 1 else Row(at, tuple(parts))

    def item(self, depth: int) -> Node:
        at = self.at
        node = self.atom(depth)
        bounds = self.times()
        return node if bounds is None else Times(at, node, *bounds)

    def times(self) -> tuple[int, int | None] | None:
        self.match(BLANK)
        at = self.at
        if self.peek() in OPERATORS:
            self.at += 1
            return OPERATORS[self.text[at]]
        if re.match(r"~[ \t]*[0-9]", self.text[at : at + 50]):
            self.at += 1
            least = self.number()
            return self.bounds(least, self.number() if self.symbol("..") else least, at)
        if not self.take("{"):
            return None
        least = 0 if self.symbol(",") else self.number()
        many = self.text[self.at - 1] == "," or self.symbol(",")
        self.match(BLANK)
        most = None if many and self.peek() == "}" else self.number() if many else least
        self.close("}", at)
        return self.bounds(least, most, at)

    def number(self) -> int:
        self.match(BLANK)
        match = self.match(NUMBER)
        if match is None:
            self.fail(f"expected a number of at most 9 digits, not {self.here()}")
        return int(match.group())

    def atom(self, depth: int) -> Node:
        at = self.at
        for opening, closing in ("()", "[]"):
            if self.take(opening):
                inner = self.options(depth + 1)
                self.match(LINES)
                self.close(closing, at)
                return inner if opening == "(" else Times(at, inner, 0, 1)
        return self.value()

    def value(self) -> Node:
        at = self.at
        string = self.match(STRING)
        if string is not None:
            return self.string(string, at)
        pattern = self.match(PATTERN)
        if pattern is not None:
            return Pattern(at, *pattern.groups())
        name = self.match(TERMINAL) or self.match(RULE)
        if name is not None:
            self.refuse({"::": "parametric rules"})
            return Name(at, name.group())
        if self.take("%json"):
            return Json(at, self.json())
        self.refuse(UNKNOWN)
        self.fail(f"{self.here()} can't stand here; expected a string, /pattern/, name or group")

    def string(self, match: re.Match[str], at: int) -> Node:
        value = self.decoded(match, at)
        if not self.symbol(".."):
            return Text(at, value, bool(match.group(2)))
        self.match(BLANK)
        end = self.match(STRING)
        last = self.decoded(end, at) if end is not None else ""
        if len(value) != 1 or len(last) != 1 or last < value:
            self.fail('a range is two strings of one character, such as "a".."z", the lower one first', at)
        return Range(at, ord(value), ord(last))

    def decoded(self, match: re.Match[str], at: int) -> str:
        # JSON's escapes, and \xHH.
        value = str(json.loads('"' + re.sub(r"(\\[^x])|\\x", lambda m: m[1] or r"\u00", match.group(1)) + '"'))
        for code in map(ord, value):
            self.character(code, at)
        return value

    def json(self) -> Any:
        self.match(LINES)
        try:
            value, self.at = json.JSONDecoder().raw_decode(self.text, self.at)
        except RecursionError:
            self.fail("the JSON here is nested too deep; make it flatter")
        except ValueError as error:
            self.fail(f"not JSON: {error}")
        return value
