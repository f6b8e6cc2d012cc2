"""Constraints: what an answer may be, compiled into a push-down automaton over bytes that the C core walks.

JSON Schema, tools, choices ─┐
regular expression ──────────┼─▶ Grammar ─▶ automaton ─▶ constraint.bin (kernels/core/constraint/automaton.h)
GBNF, Lark ──────────────────┘
"""

from __future__ import annotations

import struct
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal, NamedTuple, get_args

from tinsmith.checks import real, whole
from tinsmith.errors import FormatError

MAGIC, VERSION, SEARCHES, NO_END = 0x4E4F4354, 1, 3, 0xFFFFFFFF


class _Header(NamedTuple):
    """tini_constraint_header without its reserved bytes."""

    magic: int
    version: int
    states: int
    classes: int
    calls: int
    start: int
    depth: int
    shortest: int
    search: int = 0
    words: int = 0
    cost: int = 0
    copies: int = 0


HEADER = struct.Struct("<12I16x")
CLASSES = 256  # bytes
STATE = struct.Struct("<IHHI")
CALL = struct.Struct("<4I32s")
_WORD, _COPY = struct.Struct("<I"), struct.Struct("<2I")
_NAT = 256  # what `cost` counts

Spacing = Literal["compact", "spaced", "free"]
Kind = Literal["schema", "tools", "choices", "regex", "gbnf", "lark"]


def header_of(states: int, classes: int, calls: int, depth: int | None, shortest: int) -> bytes:
    """The header of a constraint without a search, which starts in state 0."""
    most = NO_END if depth is None else depth
    return HEADER.pack(*_Header(MAGIC, VERSION, states, classes, calls, 0, most, shortest))


def words_begin(states: int, calls: int) -> int:
    """Where constraint.bin has its known words, and behind them its table: after classes, states and calls."""
    return HEADER.size + CLASSES + STATE.size * states + CALL.size * calls


@dataclass(frozen=True)
class Constraint:
    """data: constraint.bin. states: of the automaton. depth: most frames on its stack, None when it has no
    bound. shortest: bytes of the shortest text."""

    kind: Kind
    data: bytes
    states: int
    depth: int | None
    shortest: int

    @classmethod
    def of_bytes(cls, kind: str, data: bytes) -> Constraint:
        """What a constraint.bin is of. FormatError for other data; the C core checks the rest."""
        known = next((one for one in get_args(Kind) if one == kind), None)
        if known is None or len(data) < HEADER.size or HEADER.unpack_from(data)[0] != MAGIC:
            raise FormatError("not a compiled constraint; build the file again")
        header = _Header(*HEADER.unpack_from(data))
        depth = None if header.depth == NO_END else header.depth
        return cls(known, data, header.states, depth, header.shortest)

    @cached_property
    def sha256(self) -> str:
        """Of constraint.bin; computed once, for the receipts of all requests."""
        import hashlib

        return hashlib.sha256(self.data).hexdigest()

    @property
    def _header(self) -> _Header:
        return _Header(*HEADER.unpack_from(self.data))

    @property
    def search(self) -> int:
        """Maximum backtracks of the best-first search; 0: tokens are chosen greedily."""
        return self._header.search

    @property
    def coverage(self) -> float:
        """The penalty for each new word of the question that an answer omits, in nats; 0: none."""
        return self._header.cost / _NAT

    @property
    def copies(self) -> int:
        """How many keys of JSON there are whose values must stand in the question, or cost a penalty."""
        return self._header.copies

    def with_search(self, backtracks: int) -> Constraint:
        """The same, with another `search`: generation backtracks, at most so often, while another answer is
        likelier by the model's own softmax (best-first search). A token is streamed once all remaining
        candidates share it. Works at temperature 0 without penalties and biases."""
        backtracks = whole("backtracks", backtracks, 0, NO_END)
        if not backtracks:
            return self._with(b"", version=VERSION, search=0, words=0, cost=0, copies=0)
        return self._with(None, version=SEARCHES, search=backtracks)

    def with_coverage(
        self, known: Collection[int], nats: float, copies: Mapping[int, float] | None = None
    ) -> Constraint:
        """The same, and the search penalises an answer for each new word of the question that it
        omits. known: the words that are not new, as `coverage.words` has them; nats: of
        a natural logarithm, to 1/256 of one; copies: by a key of JSON, as `coverage.values` has it, what a
        value costs that does not stand in the question.

        Raises ValueError for a constraint without a search, which has no answers to compare.
        """
        cost = round(real("nats", nats, 0, 1000) * _NAT)
        costs = {key: round(real("nats", one, 0, 1000) * _NAT) for key, one in sorted((copies or {}).items())}
        return self._covering(
            b"".join(map(_WORD.pack, sorted(known))) if cost else b"",
            b"".join(_COPY.pack(key, one) for key, one in costs.items() if one),
            cost,
        )

    def with_coverage_of(self, other: Constraint) -> Constraint:
        """The same, with the penalties of another constraint. Raises as with_coverage does."""
        header = other._header
        begin = words_begin(header.states, header.calls)
        end = begin + _WORD.size * header.words
        return self._covering(
            other.data[begin:end], other.data[end : end + _COPY.size * header.copies], header.cost
        )

    def _covering(self, words: bytes, copies: bytes, cost: int) -> Constraint:
        if not self.search:
            raise ValueError("only a search weighs what answers leave out; with_search(backtracks) first")
        counts = {"words": len(words) // _WORD.size, "copies": len(copies) // _COPY.size}
        return self._with(words + copies, version=SEARCHES, cost=cost, **counts)

    def _with(self, table: bytes | None, **changes: int) -> Constraint:
        """table: of the words and the copies; None: as it is."""
        header = self._header
        begin = words_begin(header.states, header.calls)
        end = begin + _WORD.size * header.words + _COPY.size * header.copies
        table = self.data[begin:end] if table is None else table
        head = HEADER.pack(*header._replace(**changes)) + self.data[HEADER.size : begin]
        return replace(self, data=head + table + self.data[end:])
