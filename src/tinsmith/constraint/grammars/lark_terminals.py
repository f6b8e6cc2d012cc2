"""The terminals of a Lark grammar as automata over code points."""

from __future__ import annotations

import re
from collections.abc import Iterator

from tinsmith.constraint import regex
from tinsmith.constraint.automata.dfa import MOST_STATES, Dfa, Nfa, determinize, minimize
from tinsmith.constraint.grammar import Expr
from tinsmith.constraint.grammars.lark_syntax import (
    Document,
    Either,
    Json,
    Name,
    Node,
    Pattern,
    Range,
    Row,
    Text,
    Times,
)
from tinsmith.constraint.grammars.source import Source, one_of
from tinsmith.errors import ConstraintError

_INT = "[0-9]+"
_EXP = f"[eE][+-]?{_INT}"
_DECIMAL = rf"(?:{_INT}\.[0-9]*|\.{_INT})"
_FLOAT = f"(?:{_INT}{_EXP}|{_DECIMAL}(?:{_EXP})?)"
_NUMBER = f"(?:{_FLOAT}|{_INT})"

# The terminals of `%import common`: those of Lark's that llguidance supports.
COMMON = {
    "DIGIT": "[0-9]",
    "HEXDIGIT": "[0-9a-fA-F]",
    "INT": _INT,
    "SIGNED_INT": f"[+-]?{_INT}",
    "DECIMAL": _DECIMAL,
    "_EXP": _EXP,
    "FLOAT": _FLOAT,
    "SIGNED_FLOAT": f"[+-]?{_FLOAT}",
    "NUMBER": _NUMBER,
    "SIGNED_NUMBER": f"[+-]?{_NUMBER}",
    "ESCAPED_STRING": r'"(?:[^"\\]|\\[^\n])*"',
    "LCASE_LETTER": "[a-z]",
    "UCASE_LETTER": "[A-Z]",
    "LETTER": "[a-zA-Z]",
    "WORD": "[a-zA-Z]+",
    "CNAME": "[a-zA-Z_][a-zA-Z0-9_]*",
    "WS_INLINE": r"[ \t]+",
    "WS": r"[ \t\f\r\n]+",
    "CR": r"\r",
    "LF": r"\n",
    "NEWLINE": r"(?:\r?\n)+",
    "SH_COMMENT": r"#[^\n]*",
    "CPP_COMMENT": r"//[^\n]*",
    "C_COMMENT": r"/\*[^*]*\*+(?:[^/*][^*]*\*+)*/",
    "SQL_COMMENT": r"--[^\n]*",
}

NEW_LINE = ((0x0A, 0x0A),)  # excluded from `.` in Rust's patterns


def names(node: Node) -> Iterator[Name]:
    """The rules and terminals named in an expression of one grammar."""
    match node:
        case Name():
            yield node
        case Row(parts=parts) | Either(parts=parts):
            for part in parts:
                yield from names(part)
        case Times(part=part):
            yield from names(part)


def is_terminal(name: str) -> bool:
    return name.strip("_")[:1].isupper()


class Terminals:
    def __init__(self, source: Source, document: Document) -> None:
        self.source = source
        self.definitions = document.definitions
        self.automata = {
            name: regex.parse(COMMON[common]) if common in COMMON else self.unknown(common, at)
            for name, (common, at) in document.imports.items()
        }

    def unknown(self, common: str, at: int) -> Dfa:
        self.source.fail(f"there is no common.{common}; known are {', '.join(COMMON)}", at)

    def part(self, node: Node) -> Expr:
        """An expression of terminals as an expression of the grammar."""
        try:
            return one_of(self.dfa(node))
        except ConstraintError as error:
            if str(error).startswith(self.source.name):
                raise
            self.source.fail(str(error), node.at)

    def named(self, name: Name) -> Dfa:
        """A terminal's automaton, after those of its parts, without recursion for long chains."""
        open_: dict[str, Iterator[Name]] = {}
        waiting = [name]
        while waiting:
            one = waiting[-1]
            if one.value in self.automata:
                waiting.pop()
                continue
            if one.value not in open_:
                open_[one.value] = names(self.definition(one))
            part = next(open_[one.value], None)
            if part is None:
                self.automata[one.value] = self.dfa(self.definitions[one.value])
            elif part.value in open_ and part.value not in self.automata:
                self.source.fail(
                    f"the terminal {part.value} contains itself; write it as a rule in lower case", part.at
                )
            else:
                waiting.append(part)
        return self.automata[name.value]

    def definition(self, name: Name) -> Node:
        if not is_terminal(name.value):
            self.source.fail(f"the rule {name.value} can't stand in a terminal; write it in capitals", name.at)
        if name.value not in self.definitions:
            self.source.fail(f"the terminal {name.value} is not defined", name.at)
        return self.definitions[name.value]

    def dfa(self, node: Node) -> Dfa:
        match node:
            case Name():
                return self.named(node)
            case Pattern(value=value, flags=flags):
                where = f"{self.source.name} {self.source.place(node.at)}"
                return regex.parse(f"(?{flags}){value}" if flags else value, path=where, lines=NEW_LINE)
            case Text(value=value, any_case=True):
                return regex.parse(f"(?i){re.escape(value)}")
            case Json():
                self.source.fail("%json can't stand in a terminal; write it into a rule", node.at)
        nfa = Nfa()
        start = nfa.state()
        return minimize(determinize(nfa, start, (self.add(nfa, node, start),)))

    def add(self, nfa: Nfa, node: Node, start: int) -> int:
        """Adds the expression after a state; returns its new end state."""
        end = self.state(nfa, node)
        match node:
            case Text(value=value, any_case=False):
                for character in map(ord, value):
                    state = nfa.state()
                    nfa.edge(start, character, character, state)
                    start = state
                nfa.skip(start, end)
            case Range(low=low, high=high):
                nfa.edge(start, low, high, end)
            case Row(parts=parts):
                for part in parts:
                    start = self.add(nfa, part, start)
                nfa.skip(start, end)
            case Either(parts=parts):
                for part in parts:
                    nfa.skip(self.add(nfa, part, start), end)
            case Times():
                self.times(nfa, node, start, end)
            case _:
                nfa.add(self.dfa(node), start, end)
        return end

    def state(self, nfa: Nfa, node: Node) -> int:
        state = nfa.state()
        if state > 4 * MOST_STATES:
            self.source.fail(
                f"a terminal needs more than {4 * MOST_STATES:,} states; make its bounds smaller", node.at
            )
        return state

    def times(self, nfa: Nfa, node: Times, start: int, end: int) -> None:
        part = self.dfa(node.part)
        for _ in range(node.least):
            start = self.copy(nfa, part, start, node)
        if node.most is None:
            around = nfa.state()
            nfa.skip(start, around)
            nfa.add(part, around, around)
            nfa.skip(around, end)
            return
        for _ in range(node.most - node.least):
            nfa.skip(start, end)
            start = self.copy(nfa, part, start, node)
        nfa.skip(start, end)

    def copy(self, nfa: Nfa, part: Dfa, start: int, node: Node) -> int:
        end = self.state(nfa, node)
        nfa.add(part, start, end)
        return end
