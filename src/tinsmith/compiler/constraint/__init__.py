"""Constraints: what an answer may be, compiled into a push-down automaton over bytes that the C core walks.

JSON Schema, tools, choices ─┐
regular expression ──────────┼─▶ Grammar ─▶ automaton ─▶ constraint.bin (kernels/core/constraint.h)
GBNF, Lark ──────────────────┘
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

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
