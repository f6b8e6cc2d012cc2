"""GBNF, llama.cpp's grammars, as described by its grammars/README.md and src/llama-grammar.cpp.

Differences:
- left recursion is allowed; rules defined twice, empty classes `[]` and descending ranges are errors
- the text is UTF-8: half of a surrogate pair is an error, and `.` and `[^...]` are whole characters
- tokens such as `<[5]>` and `!<think>` are errors
"""

from __future__ import annotations

import re

from tinsmith.constraint.automata.characters import ANY, negated, ranges
from tinsmith.constraint.cursor import OPERATORS
from tinsmith.constraint.grammar import Expr, Grammar, Ref, Repeat, choice, sequence, text
from tinsmith.constraint.grammars.source import MOST_NESTING, Source, one_character

_NAME = re.compile("[A-Za-z0-9_-]+")
_BLANKS, _LINES = (re.compile(rf"(?:[ \t{ends}]|#[^\r\n]*)*") for ends in ("", r"\r\n"))
_ESCAPES = {"t": "\t", "r": "\r", "n": "\n", "\\": "\\", '"': '"', "[": "[", "]": "]", "-": "-"}
_HEX = {"x": 2, "u": 4, "U": 8}
_ANY = one_character(ANY)


def read(grammar: str) -> Grammar:
    """ConstraintError for an invalid grammar."""
    return _Parser(grammar).grammar()


class _Parser(Source):
    def __init__(self, grammar: str) -> None:
        super().__init__(grammar, "GBNF")
        self.rules: dict[str, Expr] = {}
        self.defined_at: dict[str, int] = {}
        self.first_use: dict[str, int] = {}
        self.classes: dict[str, Expr] = {}  # one shared expression per class

    def grammar(self) -> Grammar:
        self.space(lines=True)
        while self.peek():
            self.rule()
        for name, at in self.first_use.items():
            if name not in self.rules:
                known = ", ".join(sorted(self.rules)[:20])
                self.fail(f"the rule {name!r} is used but not defined; defined are: {known}", at)
        if "root" not in self.rules:
            self.fail("there is no rule 'root' for the whole text; add root ::= ...", 0)
        return Grammar(self.rules, "root")

    def space(self, lines: bool) -> None:
        """Skips blanks and comments, and line ends if `lines`."""
        self.match(_LINES if lines else _BLANKS)

    def rule(self) -> None:
        start = self.at
        match = self.match(_NAME)
        if match is None:
            self.fail(f"expected a rule's name, not {self.here()}")
        name = match[0]
        if name in self.rules:
            self.fail(f"the rule {name!r} is defined at {self.place(self.defined_at[name])} already", start)
        self.defined_at[name] = start
        self.space(lines=False)
        self.expect("::=", f"after the rule's name {name!r}")
        self.space(lines=True)
        self.rules[name] = self.alternatives(0)
        if self.peek() not in ("", "\r", "\n"):
            self.fail(f"{self.here()} can't stand here; a rule ends with its line or continues after '|'")
        self.space(lines=True)

    def alternatives(self, depth: int) -> Expr:
        """depth: number of enclosing groups, in which line ends are ignored."""
        parts = [self.items(depth)]
        while self.take("|"):
            self.space(lines=True)
            parts.append(self.items(depth))
        return choice(parts)

    def items(self, depth: int) -> Expr:
        parts: list[Expr] = []
        while True:
            start = self.at
            item = self.item(depth)
            if item is None:
                break
            self.space(lines=depth > 0)
            for _ in range(MOST_NESTING):
                bounds = self.times(depth)
                if bounds is None:
                    break
                item = Repeat(item, *bounds)
            else:
                self.fail(f"more than {MOST_NESTING} operators on one item; leave some out", start)
            parts.append(item)
        if self.peek() and self.peek() in "*+?{":
            self.fail(f"there is nothing before {self.here()} to repeat")
        return sequence(parts)

    def item(self, depth: int) -> Expr | None:
        start = self.at
        if self.take('"'):
            return self.literal()
        if self.take("["):
            return self.character_class(start)
        if self.take("."):
            return _ANY
        if self.peek() in ("<", "!"):
            self.fail("tokens are not supported; write texts")
        if self.take("("):
            if depth == MOST_NESTING:
                self.fail(f"groups nest more than {MOST_NESTING} deep; make inner ones rules", start)
            self.space(lines=True)
            inner = self.alternatives(depth + 1)
            if not self.take(")"):
                self.fail(f"expected ')' for the '(' at {self.place(start)}, not {self.here()}")
            return inner
        if name := self.match(_NAME):
            self.first_use.setdefault(name[0], start)
            return Ref(name[0])
        return None

    def times(self, depth: int) -> tuple[int, int | None] | None:
        """`*`, `+`, `?` or `{...}`; None if there is none."""
        start, lines = self.at, depth > 0
        bounds = OPERATORS.get(self.peek())
        if bounds is not None:
            self.at += 1
        elif self.take("{"):
            self.space(lines)
            least = self.number()
            if least is None:
                self.fail(f"expected a number after '{{', not {self.here()}")
            most: int | None = least
            self.space(lines)
            if self.take(","):
                self.space(lines)
                most = self.number()
                self.space(lines)
            self.expect("}", "after a repetition's numbers")
            bounds = self.bounds(least, most, start)
        else:
            return None
        self.space(lines)
        return bounds

    def literal(self) -> Expr:
        start, characters = self.at - 1, []
        while not self.take('"'):
            characters.append(chr(self.next_character(start)))
        return text("".join(characters))

    def character_class(self, start: int) -> Expr:
        other = self.take("^")
        pairs: list[tuple[int, int]] = []
        while not self.take("]"):
            at = self.at
            low = high = self.next_character(start)
            if self.peek() == "-" and not self.text.startswith("-]", self.at):
                self.at += 1
                high = self.next_character(start)
                if high < low:
                    self.fail(f"the range {self.text[at : self.at]!r} goes down; swap its ends", at)
            pairs.append((low, high))
        if not pairs:
            self.fail("an empty class matches nothing; write its characters, or . for any", start)
        written = self.text[start : self.at]
        if written not in self.classes:
            members = ranges(pairs)
            self.classes[written] = one_character(negated(members) if other else members)
        return self.classes[written]

    def next_character(self, start: int) -> int:
        """One character of the literal or class that begins at `start`, maybe escaped."""
        at = self.at
        if not self.peek():
            self.fail("the literal or class that begins here has no end", start)
        if not self.take("\\"):
            self.at += 1
            return self.character(ord(self.text[at]), at)
        kind = self.peek()
        self.at += len(kind)
        if kind in _HEX:
            return self.hexadecimal(_HEX[kind])
        if kind not in _ESCAPES:
            written = f"\\{kind}" if kind.isprintable() else "a backslash before the end of a line"
            self.fail(f'{written} is no escape; known are \\n \\r \\t \\\\ \\" \\[ \\] \\- \\x \\u \\U', at)
        return ord(_ESCAPES[kind])
