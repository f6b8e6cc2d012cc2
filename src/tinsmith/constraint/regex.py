"""Regular expressions as automata over code points: ECMA-262 with the flag u, and extensions of Python and
Rust.

A text is accepted only if ECMA-262 and Python both accept it: \\d and \\w are ASCII, but \\D and \\W (and
`[^\\w]`) exclude all of Unicode's digits and letters, `.` excludes every line end, `$` is the very end. In a
negative lookahead it is the other way around. Only \\b and \\B follow ECMA-262 alone.

Supported besides classes, groups and repetition: \\p{..} with general categories, (?i) and (?s), the anchors
^ $ \\A \\Z \\z \\b \\B, and lookahead. Lazy and greedy repetition accept the same texts. Refused with an error:
backreferences, lookbehind, atomic groups, possessive repetition.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import NoReturn

from tinsmith.constraint.automata import characters as sets
from tinsmith.constraint.automata.characters import Ranges
from tinsmith.constraint.automata.dfa import CODE_POINTS, Dfa, anything, complement, union, words
from tinsmith.constraint.automata.pattern import (
    BEGINNING,
    MOST_PATTERN,
    OTHER,
    WORD_CHARACTER,
    Condition,
    Pattern,
)
from tinsmith.constraint.cursor import OPERATORS, Cursor
from tinsmith.errors import ConstraintError

MOST_CHARACTERS = 20_000
MOST_GROUPS = 200  # nested
MOST_REPEAT = 1 << 31

CONTROLS = {"a": 7, "t": 9, "n": 10, "v": 11, "f": 12, "r": 13}
ESCAPES = "\\d \\D \\w \\W \\s \\S \\p{..} \\P{..} \\b \\B \\t \\n \\v \\f \\r \\a \\0 \\xHH \\uHHHH \\u{H..}"
HEX = {"x": 2, "u": 4, "U": 8}
REPEAT = re.compile(r"\{(?:([0-9]+)(,?)([0-9]*)|,[0-9]+)\}")
NAME = re.compile(r"\?P?<([A-Za-z_$][\w$]*)>")
FLAGS = re.compile(r"\?([a-zA-Z]*)(?:-([a-zA-Z]+))?([:)])")


@lru_cache(256)
def parse(pattern: str, *, path: str = "", lines: Ranges | None = None) -> Dfa:
    """The texts that the whole pattern matches, over code points; minimal.

    path: the pattern's place, for errors. lines: characters excluded from `.`. ConstraintError for an invalid
    pattern, or one beyond a finite automaton.
    """
    return _Parser(pattern, path, lines).whole(everywhere=False)


@lru_cache(256)
def search(pattern: str, *, path: str = "", wide: bool = False) -> Dfa:
    """The texts in which the pattern matches somewhere, like JSON Schema's `pattern`. wide: a match by either
    ECMA-262 or Python is enough."""
    return _Parser(pattern, path, wide=wide).whole(everywhere=True)


def shown(pattern: str) -> str:
    """A pattern in a message, cut where it is long."""
    return ascii(pattern if len(pattern) <= 60 else pattern[:57] + "...")


Atom = tuple[int, int, int]  # its first state, and the states where it begins and ends


@dataclass
class _Group:
    """An open group. at: its parenthesis; start, tail: first state, and the present end; ends: of the
    alternatives so far; any_case, all_lines, wide: flags to restore."""

    kind: str
    at: int
    start: int
    tail: int
    ends: list[int]
    any_case: bool
    all_lines: bool
    wide: bool


class _Parser(Cursor):
    def __init__(self, pattern: str, path: str, lines: Ranges | None = None, *, wide: bool = False) -> None:
        super().__init__(pattern)
        self.path, self.lines = path, lines
        self.nfa = Pattern()
        self.any_case = self.all_lines = False
        self.wide = wide  # flipped in negative lookaheads and in negated classes
        self.groups: list[_Group] = []
        self.atom: Atom | None = None  # the last one, not joined until it can't be repeated
        if len(pattern) > MOST_CHARACTERS:
            self.fail(f"has {len(pattern):,} characters; at most {MOST_CHARACTERS:,} are allowed")

    def fail(self, why: str, at: int | None = None) -> NoReturn:
        where = f" at character {at + 1}" if at is not None else ""
        raise ConstraintError(
            f"{self.path + ': ' if self.path else ''}the pattern {shown(self.text)}{where}: {why}"
        )

    def whole(self, everywhere: bool) -> Dfa:
        self.open("text", 0)
        while self.at < len(self.text):
            self.item()
        if len(self.groups) > 1:
            self.fail("a group is not closed; write `)` after it", self.groups[-1].at)
        _, start, end = self.close()
        if everywhere:
            before, after = self.nfa.state(), self.nfa.state()
            for state in (before, after):
                self.nfa.edge(state, 0, CODE_POINTS, state)
            self.nfa.skip(before, start)
            self.nfa.skip(end, after)
            start, end = before, after
        try:
            return self.nfa.dfa(start, end)
        except ConstraintError as error:
            self.fail(str(error))

    def item(self) -> None:
        at, c = self.at, self.text[self.at]
        self.at += 1
        if c == "(":
            self.group(at)
        elif c == ")":
            if len(self.groups) == 1:
                self.fail("nothing is open here; write `\\)` for the character", at)
            self.finish()
        elif c == "|":
            self.join()
            group = self.groups[-1]
            group.ends.append(group.tail)
            group.tail = self.nfa.state()
            self.nfa.skip(group.start, group.tail)
        elif c in "*+?" or (c == "{" and REPEAT.match(self.text, at)):
            self.repeat(at)
        elif c == "^":
            self.condition(BEGINS)
        elif c == "$":
            self.condition(ENDS_WIDE if self.wide else ENDS)
        elif c == ".":
            dot = sets.dot(self.wide) if self.lines is None else sets.negated(self.lines)
            self.one_of(sets.ANY if self.all_lines else dot)
        elif c == "[":
            self.one_of(self.bracket(at))
        elif c == "\\":
            self.escape(at)
        else:
            self.one_of(self.cased(ord(c)))

    def cased(self, of: Ranges | int) -> Ranges:
        """The ranges, or one character, in any case if the flag i is set."""
        of = ((of, of),) if isinstance(of, int) else of
        return sets.any_case(of) if self.any_case else of

    def join(self) -> None:
        if self.atom is not None:
            _, start, end = self.atom
            self.nfa.skip(self.groups[-1].tail, start)
            self.groups[-1].tail = end
            self.atom = None
        if len(self.nfa.edges) > MOST_PATTERN:
            self.fail(f"needs more than {MOST_PATTERN:,} states; make it or its repetitions smaller")

    def one_of(self, of: Ranges) -> None:
        self.join()
        start, end = self.nfa.state(), self.nfa.state()
        for low, high in of:
            self.nfa.edge(start, low, high, end)
        self.atom = (start, start, end)

    def condition(self, condition: Condition) -> None:
        """Joins a condition at once: without length, it can't be repeated."""
        self.join()
        end = self.nfa.state()
        self.nfa.condition(self.groups[-1].tail, condition, end)
        self.groups[-1].tail = end

    def open(self, kind: str, at: int) -> None:
        if len(self.groups) > MOST_GROUPS:
            self.fail(f"groups are nested deeper than {MOST_GROUPS} levels", at)
        start = self.nfa.state()
        tail = self.nfa.state()
        self.nfa.skip(start, tail)
        self.groups.append(_Group(kind, at, start, tail, [], self.any_case, self.all_lines, self.wide))
        if kind == "?!":
            self.wide = not self.wide

    def close(self) -> Atom:
        self.join()
        group = self.groups.pop()
        end = self.nfa.state()
        for tail in (*group.ends, group.tail):
            self.nfa.skip(tail, end)
        self.any_case, self.all_lines, self.wide = group.any_case, group.all_lines, group.wide
        return group.start, group.start, end

    def group(self, at: int) -> None:
        self.join()
        if self.take("?="):
            self.open("?=", at)
        elif self.take("?!"):
            self.open("?!", at)
        elif self.match(NAME) or self.peek() != "?":
            self.open("group", at)
        elif flags := self.match(FLAGS):
            self.flags(flags, at)
        else:
            self.fail("this kind of group is not supported; write ( (?: (?<name> (?= (?! (?i) or (?s)", at)

    def flags(self, flags: re.Match[str], at: int) -> None:
        on, off, then = flags.groups(default="")
        for flag in on + off:
            if flag not in "isu":
                self.fail(f"the flag {flag} is not known here; known are i, s and u", at)
        if then == ":":
            self.open("group", at)
        self.any_case = "i" not in off and ("i" in on or self.any_case)
        self.all_lines = "s" not in off and ("s" in on or self.all_lines)

    def finish(self) -> None:
        """The end of a group."""
        kind = self.groups[-1].kind
        first, start, end = self.close()
        if kind == "group":
            self.atom = (first, start, end)
        else:
            self.condition(self.look(self.nfa.cut(first), start - first, end - first, kind == "?="))

    def look(self, part: Pattern, start: int, end: int, wanted: bool) -> Condition:
        part.edge(end, 0, CODE_POINTS, end)
        dfas: list[Dfa | None] = []
        for before in (BEGINNING, OTHER, WORD_CHARACTER):
            if before and not part.conditional:
                dfas.append(dfas[0])
                continue
            dfa = part.dfa(start, end, before)
            dfa = dfa if wanted else complement(dfa)
            dfas.append(None if dfa.empty else dfa)
        return dfas[0], dfas[1], dfas[2]

    def repeat(self, at: int) -> None:
        least, most = self.bounds(at)
        if self.atom is None:
            self.fail("there is nothing before it to repeat", at)
        if not self.take("?") and self.peek() == "+":
            self.fail("possessive repetition is beyond a finite automaton; leave out the second sign", at)
        first, start, end = self.atom
        size = len(self.nfa.edges) - first
        if size * max(1, least, most or 0) > MOST_PATTERN:
            self.fail(f"repeated, it needs more than {MOST_PATTERN:,} states; make the bounds smaller", at)
        self.atom = self.repeated(first, start, end, least, most)

    def bounds(self, at: int) -> tuple[int, int | None]:
        match = REPEAT.match(self.text, at)
        if not match:
            return OPERATORS[self.text[at]]
        self.at = match.end()
        low, comma, high = match.groups(default="")
        if not low:
            self.fail("a repetition without a lower bound; write {0,n}", at)
        if len(low) > 10 or len(high) > 10 or int(low) > MOST_REPEAT:
            self.fail(f"repeated, it needs more than {MOST_PATTERN:,} states; make the bounds smaller", at)
        least, most = int(low), int(high) if high else None if comma else int(low)
        if most is not None and most < least:
            self.fail(f"a repetition of {least} to {most} times; give the smaller number first", at)
        return least, most

    def repeated(self, first: int, start: int, end: int, least: int, most: int | None) -> Atom:
        """The atom and its copies in a row: required ones, then optional ones or a loop."""
        nfa, last = self.nfa, len(self.nfa.edges)
        if most == 0:
            nfa.cut(first)
            only = nfa.state()
            return first, only, only
        copies = [(start, end)]
        for _ in range(1, max(1, least if most is None else most)):
            shift = nfa.copy(first, last)
            copies.append((start + shift, end + shift))
        whole_start, whole_end = nfa.state(), nfa.state()
        tail = whole_start
        for k, (one_start, one_end) in enumerate(copies):
            if k >= least:
                nfa.skip(tail, whole_end)
            nfa.skip(tail, one_start)
            tail = one_end
        if most is None:
            # The loop needs a separate state: the copy's start may have other incoming edges.
            again = nfa.state()
            nfa.skip(tail, again)
            nfa.skip(again, copies[-1][0])
            nfa.skip(again, whole_end)
        nfa.skip(tail, whole_end)
        return first, whole_start, whole_end

    def escape(self, at: int) -> None:
        """Outside brackets, after a backslash."""
        c = self.peek()
        if c in ("b", "B"):
            self.at += 1
            self.nfa.words = True
            self.condition(BOUNDARY if c == "b" else INSIDE)
        elif c in ("A", "Z", "z"):
            self.at += 1
            self.condition(BEGINS if c == "A" else ENDS)
        elif c and c in "123456789k":
            self.fail("a backreference is beyond a finite automaton; write the pattern without it", at)
        else:
            escaped = self.escaped(at)
            self.one_of(self.cased(escaped) if isinstance(escaped, int) else escaped)

    def escaped(self, at: int) -> Ranges | int:
        """The class of an escape, or its character in the written case."""
        c = self.peek()
        self.at += 1
        if c and c in "dDwWsS":
            return sets.letter_class(c, self.wide)
        if c in ("p", "P"):
            of = self.cased(self.category(at))
            return of if c == "p" else sets.negated(of)
        return self.character(c, at)

    def character(self, c: str, at: int) -> int:
        if c in CONTROLS:
            return CONTROLS[c]
        if c == "0" and not self.peek().isdecimal():
            return 0
        if c in HEX:
            return self.hexadecimal(c, at)
        if c and not (c.isascii() and c.isalnum()):
            return ord(c)
        self.fail(f"an unknown escape \\{c}; known are {ESCAPES} and signs such as \\.", at)

    def hexadecimal(self, c: str, at: int) -> int:
        digits = self.match(re.compile(rf"\{{([0-9A-Fa-f]{{1,8}})\}}|([0-9A-Fa-f]{{{HEX[c]}}})"))
        if not digits:
            self.fail(f"\\{c} needs {HEX[c]} hexadecimal digits, or some in braces", at)
        code = int(digits[1] or digits[2], 16)
        is_high = c == "u" and 0xD800 <= code < 0xDC00
        if is_high and (low := self.match(re.compile(r"\\u([Dd][C-Fc-f][0-9A-Fa-f]{2})"))):
            return 0x10000 + ((code - 0xD800) << 10) + int(low[1], 16) - 0xDC00
        if code > CODE_POINTS or 0xD800 <= code < 0xE000:
            self.fail(f"{code:#x} is no character", at)
        return code

    def category(self, at: int) -> Ranges:
        named = self.match(re.compile(r"\{([^}]*)\}|([A-Z])"))
        if not named:
            self.fail("\\p needs a general category in braces, such as \\p{L}", at)
        name = named[1] or named[2]
        ranges = sets.category(name)
        if ranges is None:
            self.fail(
                f"the property {shown(name)} is not known; known are general categories such as L or Lu, "
                "and ASCII and Any",
                at,
            )
        return ranges

    def bracket(self, at: int) -> Ranges:
        """A class in brackets, after the opening one."""
        negative = self.take("^")
        self.wide ^= negative
        pairs: list[tuple[int, int]] = []
        while not self.take("]"):
            begin = self.at
            low = self.member(at)
            if self.peek() == "-" and self.text[self.at + 1 : self.at + 2] not in ("]", ""):
                self.at += 1
                high = self.member(at)
                if not isinstance(low, int) or not isinstance(high, int):
                    self.fail("a range between classes; write \\- for the character", begin)
                if low > high:
                    self.fail("a range that ends before it begins", begin)
                pairs += self.cased(((low, high),))
            else:
                pairs += self.cased(low) if isinstance(low, int) else low
        self.wide ^= negative
        of = sets.ranges(pairs)
        return sets.negated(of) if negative else of

    def member(self, at: int) -> Ranges | int:
        """One character or class in brackets."""
        if self.at >= len(self.text):
            self.fail("a class is not closed; write `]` after it", at)
        c, here = self.text[self.at], self.at
        self.at += 1
        if c == "[" and self.peek() == ":":
            self.fail("a class with a name; write \\p{..} or its ranges", here)
        if c != "\\":
            return ord(c)
        return 8 if self.take("b") else self.escaped(here)


def _followed(by: Ranges) -> Dfa:
    return Dfa((tuple((low, high, 1) for low, high in by), ((0, CODE_POINTS, 1),)), frozenset((1,)))


_WORD_NEXT, _END = _followed(sets.WORD), words([()])
_NO_WORD_NEXT = union(_followed(sets.negated(sets.WORD)), _END)
BEGINS: Condition = (anything(), None, None)
ENDS: Condition = (_END, _END, _END)
_NEAR_END = words([(), (0x0A,)])
ENDS_WIDE: Condition = (_NEAR_END, _NEAR_END, _NEAR_END)
BOUNDARY: Condition = (_WORD_NEXT, _WORD_NEXT, _NO_WORD_NEXT)
INSIDE: Condition = (_NO_WORD_NEXT, _NO_WORD_NEXT, _WORD_NEXT)
