"""A scheduler's slots: sessions that jobs use one after another, each with its last job's computed tokens."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Generic, TypeVar

from tinsmith import _core
from tinsmith.constraint import Constraint
from tinsmith.errors import RuntimeFault
from tinsmith.runtime.adapters import Applied, set_adapters
from tinsmith.runtime.constraint_pool import Pool
from tinsmith.runtime.image_prompt import begin, session_tokens, shared
from tinsmith.runtime.sessions import WORTH_KEEPING

# A shorter common prefix is worth neither a copy nor the wait for another job to compute it.
WORTH_SHARING = 16

_Job = TypeVar("_Job")


class Slot(Generic[_Job]):
    """applied, scope: of the computed tokens. tokens: the session's, with the answer's once it is done.
    started: whether the job's prompt is queued; until then the slot waits for another job's prefix."""

    def __init__(self, session: _core.Session) -> None:
        self.session = session
        self.applied: Applied = ()
        self.scope = ""
        self.tokens: list[int] = []
        self.job: _Job | None = None
        self.started = False
        self.cut: int | None = (
            None  # length of the prompt's part to compute first, for recurrent states at its end
        )
        self.used = 0
        self._lent = ExitStack()  # returns the constraint to its pool
        self._constraint: Constraint | None = None

    def constrain(self, constraint: Constraint | None, pool: Pool) -> None:
        if constraint is not self._constraint:
            self.give_back()
            self._lent.enter_context(pool.lend(self.session, constraint))
            self._constraint = constraint

    def give_back(self) -> None:
        """Returns the constraint."""
        self._constraint = None
        self._lent.close()

    def set_adapters(self, applied: Applied, scope: str) -> None:
        """Sets the adapters and the scope; forgets tokens computed under others."""
        if (applied, scope) == (self.applied, self.scope):
            return
        self.session.rewind(0)
        self.tokens = []
        self.scope = scope
        if applied != self.applied:
            set_adapters(self.session, applied)
            self.applied = applied

    def leave(self) -> None:
        """Ends the job; computed tokens stay. No pass may be computing its session."""
        computed, tokens = session_tokens(self.session)
        try:
            self.session.rewind(computed)
        except RuntimeFault:  # a window's ring has lost the keys that continuing needs
            self.session.rewind(0)
            tokens = []
        self.tokens = tokens[:computed]
        self.job, self.started, self.cut = None, False, None


class Slots(Generic[_Job]):
    """A scheduler's slots. A prompt that shares a prefix with a slot of the same adapters and scope continues
    there, or takes a copy. A copy gives the bits of a fresh computation."""

    def __init__(self, sessions: Sequence[_core.Session], has_states: bool) -> None:
        self.all: list[Slot[_Job]] = [Slot(session) for session in sessions]
        self._has_states = has_states
        self._turns = 0

    def free(self, tokens: list[int], applied: Applied, scope: str) -> Slot[_Job]:
        """Takes a slot without a job; there must be one. The slot with most of the prompt, or, if that would
        forget much, the least recently used one."""
        free = [slot for slot in self.all if slot.job is None]
        oldest = min(free, key=lambda slot: slot.used)
        self._turns += 1
        alike = [slot for slot in free if (slot.applied, slot.scope) == (applied, scope)]
        best = max(alike, key=lambda slot: shared(tokens, slot.tokens), default=oldest)
        loses = len(best.tokens) - shared(tokens, best.tokens)
        taken = best if best in alike and loses < WORTH_KEEPING else oldest
        taken.used = self._turns
        return taken

    def ready(self, slot: Slot[_Job], tokens: list[int]) -> bool:
        """Copies the prompt's longest prefix from another slot. False while another job computes it: starting
        now would compute it twice."""
        own = shared(tokens[:-1], slot.tokens)
        best, most = None, own + WORTH_SHARING - 1
        for other in self.all:
            if other is slot or (other.applied, other.scope) != (slot.applied, slot.scope):
                continue
            if other.job is not None and not other.started:
                continue
            same = shared(tokens[:-1], other.tokens)
            if same > most:
                best, most = other, same
        if best is None:
            return True
        if best.session.computed() < most and best.job is not None:
            if self._has_states:
                self._cut(best, most)
            return False
        # A window's ring may have lost keys of the prefix; it is then computed again.
        with contextlib.suppress(RuntimeFault):
            slot.session.copy_from(best.session, min(most + 1, len(best.tokens)))
        return True

    def _cut(self, slot: Slot[_Job], length: int) -> None:
        """Lets the slot compute the prompt up to `length` first, since a recurrent state exists only where a
        computation ended. Not once the answer has begun, as one with forced first tokens may before the prompt
        is computed."""
        _, tokens = slot.session.tokens()
        if len(tokens) <= len(slot.tokens) and (slot.cut is None or length < slot.cut):
            with contextlib.suppress(RuntimeFault):  # a pass is computing it: that part is computed twice
                begin(slot.session, slot.tokens, length)
                slot.cut = length
