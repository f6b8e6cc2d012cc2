"""Automata over code points to automata over bytes: UTF-8, and the content of JSON strings."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from tinsmith.constraint.automata.dfa import Dfa, Edge, joined, minimize, trim
from tinsmith.errors import ConstraintError

Piece = tuple[int, int, int]  # low, high, target: numbers relative to a node's first

MOST_NODES = 80_000  # before minimization
SURROGATES = (0xD800, 0xDFFF)
SHORT_ESCAPES = {0x08: "b", 0x09: "t", 0x0A: "n", 0x0C: "f", 0x0D: "r", 0x22: '"', 0x5C: "\\"}


@dataclass(frozen=True, eq=False)
class Level:
    """One byte of an encoding, for a digit of `bits` bits. base: the byte of digit 0; None: hexadecimal, where
    `first` is added to the digit."""

    bits: int
    base: int | None
    first: int = 0

    def ranges(self, low: int, high: int) -> list[tuple[int, int]]:
        if self.base is not None:
            return [(self.base + low, self.base + high)]
        low, high = low + self.first, high + self.first
        spans = []
        if low < 10:
            spans.append((0x30 + low, 0x30 + min(high, 9)))
        if high >= 10:
            spans += [(letter + max(low, 10) - 10, letter + high - 10) for letter in (0x41, 0x61)]
        return spans


_FOLLOW, _HEX = Level(6, 0x80), Level(4, None)
_UTF8 = (  # first and last code point, and their bytes
    (0x80, 0x7FF, (Level(5, 0xC0), _FOLLOW)),
    (0x800, 0xFFFF, (Level(4, 0xE0), _FOLLOW, _FOLLOW)),
    (0x10000, 0x10FFFF, (Level(3, 0xF0), _FOLLOW, _FOLLOW, _FOLLOW)),
)
_UNIT = (_HEX, _HEX, _HEX, _HEX)  # one \u escape
_LOW_UNIT = (Level(2, None, 12), _HEX, _HEX)  # of a low surrogate, after "D"


class _Bytes:
    """An automaton over bytes that grows node by node, sharing equal nodes."""

    def __init__(self, states: int) -> None:
        self.edges: list[tuple[Edge, ...]] = [()] * states
        self.nodes: dict[tuple[Edge, ...], int] = {}
        self.known: dict[tuple[tuple[Piece, ...], tuple[Level, ...]], tuple[Edge, ...]] = {}

    def node(self, edges: tuple[Edge, ...]) -> int:
        number = self.nodes.get(edges)
        if number is None:
            number = self.nodes[edges] = len(self.edges)
            self.edges.append(edges)
            if number >= MOST_NODES:
                raise ConstraintError(
                    f"a text's characters need more than {MOST_NODES:,} states as bytes; "
                    "make its bounds or its sets of characters smaller"
                )
        return number

    def leaving(self, pieces: tuple[Piece, ...], levels: tuple[Level, ...]) -> tuple[Edge, ...]:
        """The edges of a node that encodes the numbers of `pieces`, one byte per level."""
        known = self.known.get((pieces, levels))
        if known is None:
            level, rest = levels[0], levels[1:]
            edges = [
                (low, high, self.node(self.leaving(tuple(part), rest)) if rest else part[0][2])
                for first, last, part in _digits(pieces, sum(one.bits for one in rest))
                for low, high in level.ranges(first, last)
            ]
            known = self.known[pieces, levels] = join(edges)
        return known


def _digits(pieces: tuple[Piece, ...], width: int) -> list[tuple[int, int, list[Piece]]]:
    """The leading digits above `width` bits: first, last, and the remaining pieces below each."""
    spans: list[tuple[int, int, list[Piece]]] = []
    mask = (1 << width) - 1

    def partial(digit: int, low: int, high: int, target: int) -> None:
        if not spans or spans[-1][0] != digit:
            spans.append((digit, digit, []))
        spans[-1][2].append((low, high, target))

    for low, high, target in pieces:
        first, last = low >> width, high >> width
        if low & mask or (first == last and (high & mask) != mask):
            partial(first, low & mask, mask if last > first else high & mask, target)
            first += 1
        if first <= last and (high & mask) != mask:
            if first < last:
                spans.append((first, last - 1, [(0, mask, target)]))
            partial(last, 0, high & mask, target)
        elif first <= last:
            spans.append((first, last, [(0, mask, target)]))
    return spans


def join(edges: list[Edge]) -> tuple[Edge, ...]:
    """Ascending, with neighbouring ranges of the same target merged."""
    return tuple(joined(sorted(edges)))


def _cut(edges: tuple[Edge, ...], low: int, high: int) -> tuple[Piece, ...]:
    """The edges between two code points."""
    return tuple((max(a, low), min(b, high), to) for a, b, to in edges if a <= high and b >= low)


def _scalars(edges: tuple[Edge, ...]) -> tuple[Edge, ...]:
    """Without surrogates, which UTF-8 does not encode."""
    return _cut(edges, 0, SURROGATES[0] - 1) + _cut(edges, SURROGATES[1] + 1, 0x10FFFF)


def _wide(out: _Bytes, edges: tuple[Edge, ...]) -> list[Edge]:
    """UTF-8 beyond ASCII."""
    pieces = [(_cut(edges, low, high), levels) for low, high, levels in _UTF8]
    return [edge for part, levels in pieces if part for edge in out.leaving(part, levels)]


@lru_cache(256)
def utf8(dfa: Dfa) -> Dfa:
    """An automaton over code points as one over UTF-8, without surrogates; minimal."""
    out = _Bytes(len(dfa.edges))
    for state, edges in enumerate(dfa.edges):
        edges = _scalars(edges)
        out.edges[state] = join([*_cut(edges, 0, 0x7F), *_wide(out, edges)])
    return minimize(trim(out.edges, dfa.accepts))


@lru_cache(256)
def json_content(dfa: Dfa) -> Dfa:
    """The content between the quotes of JSON strings whose value the automaton accepts.

    Only characters that JSON requires to be escaped are, in json.dumps' form (`\\n`, `\\u001f`). DEL and
    characters beyond ASCII may also be written as \\uXXXX."""
    out = _Bytes(len(dfa.edges))
    for state, edges in enumerate(dfa.edges):
        edges = _scalars(edges)
        new_edges = _wide(out, edges)
        for low, high in ((0x20, 0x21), (0x23, 0x5B), (0x5D, 0x7F)):
            new_edges += _cut(edges, low, high)
        escaped = _escaped(out, edges)
        if escaped:
            new_edges.append((0x5C, 0x5C, out.node(escaped)))
        out.edges[state] = join(new_edges)
    return minimize(trim(out.edges, dfa.accepts))


def _escaped(out: _Bytes, edges: tuple[Edge, ...]) -> tuple[Edge, ...]:
    """The edges after a backslash."""
    new_edges = [
        (ord(letter), ord(letter), to)
        for code, letter in SHORT_ESCAPES.items()
        for _, _, to in _cut(edges, code, code)
    ]
    units: list[Piece] = []
    for low, high in ((0x00, 0x07), (0x0B, 0x0B), (0x0E, 0x1F)):
        units += _cut(edges, low, high)
    units += _cut(edges, 0x7F, SURROGATES[0] - 1)
    units += _pairs(out, _cut(edges, 0x10000, 0x10FFFF))
    units += _cut(edges, SURROGATES[1] + 1, 0xFFFF)
    if units:
        new_edges.append((0x75, 0x75, out.node(out.leaving(tuple(units), _UNIT))))
    return join(new_edges)


def _pairs(out: _Bytes, pieces: tuple[Piece, ...]) -> list[Piece]:
    """High surrogates, and the nodes of the low ones after them."""
    relative = tuple((low - 0x10000, high - 0x10000, to) for low, high, to in pieces)
    highs = []
    for first, last, part in _digits(relative, 10):
        low = out.leaving(tuple(part), _LOW_UNIT)
        after = out.node(tuple((letter, letter, out.node(low)) for letter in b"Dd"))
        for byte in b"u\\":
            after = out.node(((byte, byte, after),))
        highs.append((SURROGATES[0] + first, SURROGATES[0] + last, after))
    return highs
