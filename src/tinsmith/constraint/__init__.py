"""Constraints: what an answer may be, compiled into a push-down automaton over bytes that the C core walks.

JSON Schema, tools, choices ─┐
regular expression ──────────┼─▶ Grammar ─▶ automaton ─▶ constraint.bin (kernels/core/constraint/automaton.h)
GBNF, Lark ──────────────────┘
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Literal, get_args

from tinsmith.errors import FormatError

MAGIC, VERSION, NO_END = 0x4E4F4354, 1, 0xFFFFFFFF
# magic, version, states, classes, calls, start, depth, shortest
HEADER = struct.Struct("<8I32x")

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
        _, _, states, _, _, _, depth, shortest = HEADER.unpack_from(data)
        return cls(known, data, states, None if depth == NO_END else depth, shortest)
