"""The parser of Lark grammars in llguidance's dialect (its docs/syntax.md): text to definitions."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NoReturn

from tinsmith.constraint.grammars.source import MOST_NESTING, Source
from tinsmith.errors import ConstraintError

RULE = re.compile(r"_?[a-z](?:[_a-z0-9]|-(?!>))*")
TERMINAL = re.compile(r"_?[A-Z](?:[_A-Z0-9]|-(?!>))*")
STRING = re.compile(r'"((?:\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}|x[0-9a-fA-F]{2})|[^"\\\x00-\x1f\x7f])*)"(i?)')
PATTERN = re.compile(r"/((?:\\.|[^/\\])+)/([a-z]*)")
TOKEN = re.compile(r"<[^<>\s]+>")
NUMBER = re.compile(r"[0-9]{1,9}(?![0-9])")
BLANK = re.compile(r"(?:[ \t\f]|(?:#|//)[^\n]*)+")
LINES = re.compile(r"(?:[ \t\f\r\n]|(?:#|//)[^\n]*)+")
OPERATORS: dict[str, tuple[int, int | None]] = {"*": (0, None), "+": (1, None), "?": (0, 1)}


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
class Token(Node):
    """A control token as written: <[id]>."""

    value: str


@dataclass(frozen=True, eq=False)
class Json(Node):
    schema: Any


@dataclass(frozen=True, eq=False)
class Pieces(Node):
    """Any run of consecutive pieces, or none."""

    pieces: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Nested(Node):
    document: Document


@dataclass(frozen=True, eq=False)
class Row(Node):
    parts: tuple[Node, ...]


@dataclass(frozen=True, eq=False)
class Either(Node):
    parts: tuple[Node, ...]


@dataclass(frozen=True, eq=False)
class Both(Node):
    """The intersection of the parts."""

    parts: tuple[Node, ...]


@dataclass(frozen=True, eq=False)
class Times(Node):
    part: Node
    least: int
    most: int | None


@dataclass(frozen=True, eq=False)
class Not(Node):
    part: Node


@dataclass(frozen=True, eq=False)
class Lazy(Node):
    """A rule that is one terminal, as short as possible."""

    part: Node


@dataclass
class Document:
    """definitions: rules and terminals by name. imports: name here → name in `common` and place. options: of
    %llguidance."""

    definitions: dict[str, Node] = field(default_factory=dict)
    ignored: list[Node] = field(default_factory=list)
    imports: dict[str, tuple[str, int]] = field(default_factory=dict)
    options: dict[str, Any] = field(default_factory=dict)


def read(source: Source, depth: int = 0) -> Document:
    """Reads the whole text, or the inside of %lark { }. depth: number of enclosing groups."""
    return _Parser(source).document(depth)


class _Parser:
    def __init__(self, source: Source) -> None:
        self.source = source
        self.fail: Callable[..., NoReturn] = source.fail
        self.match = source.match

    def symbol(self, expected: str) -> bool:
        self.match(BLANK)
        return self.source.take(expected)

    def document(self, depth: int) -> Document:
        document = Document()
        while True:
            self.match(LINES)
            if not self.source.peek() or (depth and self.source.peek() == "}"):
                return document
            self.statement(document, depth)
            self.match(BLANK)
            if self.source.peek() not in ("", "\r", "\n") and not (depth and self.source.peek() == "}"):
                self.fail(f"{self.source.here()} can't stand here; a definition ends with its line")

    def statement(self, document: Document, depth: int) -> None:
        at = self.source.at
        if self.source.take("%import"):
            self.imported(document)
        elif self.source.take("%ignore"):
            document.ignored.append(self.options(depth))
        elif self.source.take("%llguidance"):
            value = self.json()
            if not isinstance(value, dict):
                self.fail("%llguidance takes an object, such as {}", at)
            document.options |= value
        elif self.source.peek() == "%":
            self.fail("an unknown statement; known are %import, %ignore and %llguidance")
        else:
            self.definition(document, depth)

    def imported(self, document: Document) -> None:
        """common.NAME, common.NAME -> OTHER, or common (NAME, NAME)."""
        self.match(BLANK)
        at = self.source.at
        if not self.source.take("common"):
            self.fail("only %import common.NAME is supported; write other terminals into this grammar")
        many = self.symbol("(")
        if not many and not self.source.take("."):
            self.fail(f"expected '.' and a name after 'common', not {self.source.here()}")
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
            self.fail(f"expected a terminal's name in capitals, not {self.source.here()}")
        return match.group()

    def unused(self, document: Document, name: str, at: int) -> None:
        if name in document.definitions or name in document.imports:
            self.fail(f"{name} is already defined; define each name once", at)

    def definition(self, document: Document, depth: int) -> None:
        at = self.source.at
        # A rule's mark affects the parse tree, not the text.
        mark = self.source.take("?") or self.source.take("!")
        rule = self.match(RULE)
        match = rule or (None if mark else self.match(TERMINAL))
        if match is None:
            self.fail(f"expected the name of a rule or a TERMINAL, not {self.source.here()}")
        name = match.group()
        self.unused(document, name, at)
        self.refuse({"{": "templates", "::": "parametric rules", ".": "priorities"})
        lazy, suffix = self.attributes() if rule and self.symbol("[") else (False, None)
        if not self.symbol(":"):
            self.fail(f"expected ':' after the name {name}, not {self.source.here()}")
        node = self.options(depth)
        if suffix is not None:
            node = Row(at, (node, suffix))
        document.definitions[name] = Lazy(at, node) if lazy or suffix else node

    def refuse(self, unknown: dict[str, str]) -> None:
        for written, what in unknown.items():
            if self.source.text.startswith(written, self.source.at):
                self.fail(f"{what} ({written}) are not supported; write the rules out")

    def attributes(self) -> tuple[bool, Node | None]:
        lazy, suffix = False, None
        while True:
            self.match(BLANK)
            at = self.source.at
            match = self.match(re.compile("[a-z_]+"))
            attribute = match.group() if match else self.source.here()
            if attribute == "lazy":
                lazy = True
            elif attribute == "suffix" and self.symbol("="):
                self.match(BLANK)
                suffix = self.value(0)
            else:
                self.fail(
                    f"[{attribute}] is not supported; supported attributes are [lazy] and [suffix=...]", at
                )
            if not self.symbol(","):
                break
        self.close("]", at)
        return lazy, suffix

    def close(self, bracket: str, at: int) -> None:
        if not self.symbol(bracket):
            self.fail(
                f"expected {bracket!r} for what begins at {self.source.place(at)}, not {self.source.here()}"
            )

    def options(self, depth: int, group: bool = False) -> Node:
        """Alternatives. group: inside brackets, where line ends are ignored."""
        if depth > MOST_NESTING:
            self.fail(f"groups nest more than {MOST_NESTING} deep; make inner ones rules")
        at, parts = self.source.at, [self.conditions(depth, group)]
        while True:
            before = self.source.at
            self.match(LINES)
            if not self.source.take("|"):
                self.source.at = before
                return parts[0] if len(parts) == 1 else Either(at, tuple(parts))
            self.match(LINES)
            parts.append(self.conditions(depth, group))

    def conditions(self, depth: int, group: bool) -> Node:
        """An alternative: parts joined by &, and its name in the parse tree, which is ignored."""
        at, parts = self.source.at, [self.row(depth, group)]
        while self.symbol("&"):
            parts.append(self.row(depth, group))
        if self.symbol("->"):
            self.match(BLANK)
            if self.match(RULE) is None:
                self.fail(f"expected a name after '->', not {self.source.here()}")
        return parts[0] if len(parts) == 1 else Both(at, tuple(parts))

    def row(self, depth: int, group: bool) -> Node:
        at, parts = self.source.at, list[Node]()
        while True:
            self.match(LINES if group else BLANK)
            if self.source.peek() in ("", "\r", "\n", "|", "&", ")", "]", "}", "-"):
                return parts[0] if len(parts) == 1 else Row(at, tuple(parts))
            self.refuse({"%if": "conditions"})
            parts.append(self.item(depth))

    def item(self, depth: int) -> Node:
        at = self.source.at
        node = self.atom(depth)
        bounds = self.times()
        return node if bounds is None else Times(at, node, *bounds)

    def times(self) -> tuple[int, int | None] | None:
        self.match(BLANK)
        source, at = self.source, self.source.at
        if source.peek() in OPERATORS:
            source.at += 1
            return OPERATORS[source.text[at]]
        if re.match(r"~[ \t]*[0-9]", source.text[at : at + 50]):
            source.at += 1
            least = self.number()
            return source.bounds(least, self.number() if self.symbol("..") else least, at)
        if not source.take("{"):
            return None
        least = 0 if self.symbol(",") else self.number()
        many = source.text[source.at - 1] == "," or self.symbol(",")
        self.match(BLANK)
        most = None if many and source.peek() == "}" else self.number() if many else least
        self.close("}", at)
        return source.bounds(least, most, at)

    def number(self) -> int:
        self.match(BLANK)
        match = self.match(NUMBER)
        if match is None:
            self.fail(f"expected a number of at most 9 digits, not {self.source.here()}")
        return int(match.group())

    def atom(self, depth: int) -> Node:
        source, at = self.source, self.source.at
        if source.take("~"):
            self.match(BLANK)
            if source.peek() == "~":
                self.fail("'~' is repeated; leave both out")
            return Not(at, self.atom(depth))
        if source.take("("):
            inner = self.options(depth + 1, group=True)
            self.match(LINES)
            self.close(")", at)
            return inner
        if source.take("["):
            inner = self.options(depth + 1, group=True)
            self.match(LINES)
            self.close("]", at)
            return Times(at, inner, 0, 1)
        return self.value(depth)

    def value(self, depth: int) -> Node:
        source, at = self.source, self.source.at
        string = self.match(STRING)
        if string is not None:
            return self.string(string, at)
        pattern = self.match(PATTERN)
        if pattern is not None:
            return Pattern(at, *pattern.groups())
        token = self.match(TOKEN)
        if token is not None:
            return Token(at, token.group())
        name = self.match(TERMINAL) or self.match(RULE)
        if name is not None:
            self.refuse({"::": "parametric rules"})
            return Name(at, name.group())
        if source.take("%json"):
            return Json(at, self.json())
        if source.take("%regex"):
            return Pieces(at, self.pieces(self.json(), at))
        if source.take("%lark"):
            if not self.symbol("{"):
                self.fail(f"expected '{{' after %lark, not {source.here()}")
            if depth >= MOST_NESTING:
                self.fail(f"grammars nest more than {MOST_NESTING} deep; write them into one", at)
            inner = read(source, depth + 1)
            source.expect("}", f"for the %lark at {source.place(at)}")
            return Nested(at, inner)
        if source.take("@"):
            self.fail("grammars by @name are not supported; write %lark { } or %json", at)
        self.fail(f"{source.here()} can't stand here; expected a string, /pattern/, name or group")

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
            self.source.character(code, at)
        return value

    def json(self) -> Any:
        self.match(LINES)
        at = self.source.at
        try:
            value, self.source.at = json.JSONDecoder(parse_constant=self.constant).raw_decode(
                self.source.text, at
            )
        except RecursionError:
            self.fail("the JSON here is nested too deep; make it flatter", at)
        except ConstraintError:
            raise
        except json.JSONDecodeError as error:
            self.fail(f"not JSON: {error.msg}", error.pos)
        except ValueError as error:
            self.fail(f"not JSON: {error}", at)
        return value

    def constant(self, name: str) -> NoReturn:
        self.fail(f"not JSON: {name}")

    def pieces(self, value: Any, at: int) -> tuple[str, ...]:
        """The pieces of a %regex, any run of which is a match."""
        match value:
            case {"substring_chars": str(text), **rest} if not rest:
                return tuple(text)
            case {"substring_words": str(text), **rest} if not rest:
                return tuple(re.findall(r"\w+|[^\w]", text))
            case {"substring_chunks": list(chunks), **rest} if not rest and all(
                isinstance(c, str) for c in chunks
            ):
                return tuple(chunks)
        self.fail(
            "%regex takes one of substring_chars: text, substring_words: text, substring_chunks: [texts]", at
        )
