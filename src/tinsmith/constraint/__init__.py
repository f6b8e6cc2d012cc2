"""Constraints: what an answer may be, compiled into a push-down automaton over bytes that the C core walks.

JSON Schema, tools, choices ─┐
regular expression ──────────┼─▶ Grammar ─▶ automaton ─▶ constraint.bin (kernels/core/constraint/automaton.h)
GBNF, Lark ──────────────────┘
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, replace
from typing import Literal, get_args

from tinsmith.checks import whole
from tinsmith.errors import FormatError

MAGIC, VERSION, SEARCHES, NO_END = 0x4E4F4354, 1, 2, 0xFFFFFFFF
# magic, version, states, classes, calls, start, depth, shortest, search
HEADER = struct.Struct("<9I28x")

Spacing = Literal["compact", "spaced", "free"]
Kind = Literal["schema", "tools", "choices", "regex", "gbnf", "lark"]


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
        _, _, states, _, _, _, depth, shortest, _ = HEADER.unpack_from(data)
        return cls(known, data, states, None if depth == NO_END else depth, shortest)

    @property
    def search(self) -> int:
        """How often choices are taken back for a likelier answer, at most; 0: it is taken token by token."""
        _, version, *_, search = HEADER.unpack_from(self.data)
        return search if version == SEARCHES else 0

    def with_search(self, turns: int) -> Constraint:
        """The same, with another `search`: choices that lead to where only the unlikely may follow are then
        taken back, as long as another answer is likelier by the model's own softmax (best-first search). Tokens
        come once the answer is complete. Holds at temperature 0 without penalties and biases."""
        turns = whole("turns", turns, 0, NO_END)
        magic, _, *counts, _ = HEADER.unpack_from(self.data)
        header = HEADER.pack(magic, SEARCHES if turns else VERSION, *counts, turns)
        return replace(self, data=header + self.data[HEADER.size :])
