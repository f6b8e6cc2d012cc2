"""GBNF, llama.cpp's grammars, as described by its grammars/README.md and src/llama-grammar.cpp.

Differences:
- left recursion is allowed; rules defined twice, empty classes `[]` and descending ranges are errors
- the text is UTF-8: half of a surrogate pair is an error, and `.` and `[^...]` are whole characters
- `<[id]>` is a control token. `!<[id]>` needs `*` or `+` and is any text: bytes do not show where a token of
  text ends, and other control tokens would end or confuse the answer.
"""

from __future__ import annotations

import re

from tinsmith.constraint import Constraint
from tinsmith.constraint.automata.characters import ANY, negated, ranges
from tinsmith.constraint.grammar import Expr, Grammar, Ref, Repeat, choice, sequence, text, token
from tinsmith.constraint.grammars.source import MOST_NESTING, Source, one_character

_NAME = re.compile("[A-Za-z0-9_-]+")
_BLANKS, _LINES = (re.compile(rf"(?:[ \t{ends}]|#[^\r\n]*)*") for ends in ("", r"\r\n"))
_ESCAPES = {"t": "\t", "r": "\r", "n": "\n", "\\": "\\", '"': '"', "[": "[", "]": "]", "-": "-"}
_HEX = {"x": 2, "u": 4, "U": 8}
_ANY = one_character(ANY)


def compile_gbnf(grammar: str) -> Constraint:
    """ConstraintError for an invalid grammar."""
    from tinsmith.constraint.machine.automaton import compile_grammar

    return compile_grammar(read_gbnf(grammar), "gbnf")


def read_gbnf(grammar: str) -> Grammar:
    return _Parser(grammar).grammar()


class _Parser:
    def __init__(self, grammar: str) -> None:
        self.source = Source(grammar, "GBNF")
        self.rules: dict[str, Expr] = {}
        self.defined_at: dict[str, int] = {}
        self.first_use: dict[str, int] = {}
        self.classes: dict[str, Expr] = {}  # one shared expression per class

    def grammar(self) -> Grammar:
        source = self.source
        self.space(lines=True)
        while source.peek():
            self.rule()
        for name, at in self.first_use.items():
            if name not in self.rules:
                known = ", ".join(sorted(self.rules)[:20])
                source.fail(f"the rule {name!r} is used but not defined; defined are: {known}", at)
        if "root" not in self.rules:
            source.fail("there is no rule 'root' for the whole text; add root ::= ...", 0)
        return Grammar(self.rules, "root")

    def space(self, lines: bool) -> None:
        """Skips blanks and comments, and line ends if `lines`."""
        self.source.match(_LINES if lines else _BLANKS)

    def name(self) -> str:
        name = self.source.match(_NAME)
        if name is None:
            self.source.fail(f"expected a rule's name, not {self.source.here()}")
        return name[0]

    def rule(self) -> None:
        source, start = self.source, self.source.at
        name = self.name()
        if name in self.rules:
            source.fail(f"the rule {name!r} is defined at {source.place(self.defined_at[name])} already", start)
        self.defined_at[name] = start
        self.space(lines=False)
        source.expect("::=", f"after the rule's name {name!r}")
        self.space(lines=True)
        self.rules[name] = self.alternatives(0)
        if source.peek() not in ("", "\r", "\n"):
            source.fail(f"{source.here()} can't stand here; a rule ends with its line or continues after '|'")
        self.space(lines=True)

    def alternatives(self, depth: int) -> Expr:
        """depth: number of enclosing groups, in which line ends are ignored."""
        parts = [self.items(depth)]
        while self.source.take("|"):
            self.space(lines=True)
            parts.append(self.items(depth))
        return choice(parts)

    def items(self, depth: int) -> Expr:
        parts: list[Expr] = []
        while True:
            start = self.source.at
            if self.source.peek() == "!":
                parts.append(self.without_token(depth))
                continue
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
                self.source.fail(f"more than {MOST_NESTING} operators on one item; leave some out", start)
            parts.append(item)
        if self.source.peek() and self.source.peek() in "*+?{":
            self.source.fail(f"there is nothing before {self.source.here()} to repeat")
        return sequence(parts)

    def item(self, depth: int) -> Expr | None:
        source, start = self.source, self.source.at
        if source.take('"'):
            return self.literal()
        if source.take("["):
            return self.character_class(start)
        if source.take("."):
            return _ANY
        if source.peek() == "<":
            return token(self.token())
        if source.take("("):
            if depth == MOST_NESTING:
                source.fail(f"groups nest more than {MOST_NESTING} deep; make inner ones rules", start)
            self.space(lines=True)
            inner = self.alternatives(depth + 1)
            if not source.take(")"):
                source.fail(f"expected ')' for the '(' at {source.place(start)}, not {source.here()}")
            return inner
        if name := source.match(_NAME):
            self.first_use.setdefault(name[0], start)
            return Ref(name[0])
        return None

    def times(self, depth: int) -> tuple[int, int | None] | None:
        """`*`, `+`, `?` or `{...}`; None if there is none."""
        source, start, lines = self.source, self.source.at, depth > 0
        known: dict[str, tuple[int, int | None]] = {"*": (0, None), "+": (1, None), "?": (0, 1)}
        bounds = known.get(source.peek())
        if bounds is not None:
            source.at += 1
        elif source.take("{"):
            self.space(lines)
            least = source.number()
            if least is None:
                source.fail(f"expected a number after '{{', not {source.here()}")
            most: int | None = least
            self.space(lines)
            if source.take(","):
                self.space(lines)
                most = source.number()
                self.space(lines)
            source.expect("}", "after a repetition's numbers")
            bounds = source.bounds(least, most, start)
        else:
            return None
        self.space(lines)
        return bounds

    def literal(self) -> Expr:
        start, characters = self.source.at - 1, []
        while not self.source.take('"'):
            characters.append(chr(self.character(start)))
        return text("".join(characters))

    def character_class(self, start: int) -> Expr:
        source = self.source
        other = source.take("^")
        pairs: list[tuple[int, int]] = []
        while not source.take("]"):
            at = source.at
            low = high = self.character(start)
            if source.peek() == "-" and not source.text.startswith("-]", source.at):
                source.at += 1
                high = self.character(start)
                if high < low:
                    source.fail(f"the range {source.text[at : source.at]!r} goes down; swap its ends", at)
            pairs.append((low, high))
        if not pairs:
            source.fail("an empty class matches nothing; write its characters, or . for any", start)
        written = source.text[start : source.at]
        if written not in self.classes:
            members = ranges(pairs)
            self.classes[written] = one_character(negated(members) if other else members)
        return self.classes[written]

    def character(self, start: int) -> int:
        """One character of the literal or class that begins at `start`, maybe escaped."""
        source, at = self.source, self.source.at
        if not source.peek():
            source.fail("the literal or class that begins here has no end", start)
        if not source.take("\\"):
            source.at += 1
            return source.character(ord(source.text[at]), at)
        kind = source.peek()
        source.at += len(kind)
        if kind in _HEX:
            return source.hexadecimal(_HEX[kind])
        if kind not in _ESCAPES:
            written = f"\\{kind}" if kind.isprintable() else "a backslash before the end of a line"
            source.fail(f'{written} is no escape; known are \\n \\r \\t \\\\ \\" \\[ \\] \\- \\x \\u \\U', at)
        return ord(_ESCAPES[kind])

    def token(self) -> int:
        source, start = self.source, self.source.at
        written = source.match(re.compile("<[^>\r\n]*>"))
        if written is None:
            source.fail("a token without its end; expected '>' on its line", start)
        return source.token(written[0], start)

    def without_token(self, depth: int) -> Expr:
        source, start = self.source, self.source.at
        source.at += 1
        if source.peek() != "<":
            source.fail(f"expected a token <[id]> after '!', not {source.here()}")
        self.token()
        written = source.text[start : source.at]
        self.space(lines=depth > 0)
        bounds = self.times(depth)
        if bounds not in ((0, None), (1, None)):
            source.fail(f"{written} means text of any length; write {written}* or {written}+", start)
        return Repeat(_ANY, *bounds)
