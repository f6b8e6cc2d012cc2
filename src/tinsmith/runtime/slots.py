"""The sessions that a scheduler's jobs take turns in: each is a slot, and holds what its last job computed."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING, Generic, TypeVar

from tinsmith import _core
from tinsmith.errors import RuntimeFault
from tinsmith.runtime.adapters import Applied, put_on
from tinsmith.runtime.image_prompt import begin, held
from tinsmith.runtime.prefix import shared
from tinsmith.runtime.sessions import WORTH_KEEPING, Lease

if TYPE_CHECKING:
    from tinsmith.constraint import Constraint
    from tinsmith.runtime.constraint_pool import Pool

# A shorter common beginning is not worth the waiting for who computes it, nor a copy.
WORTH_SHARING = 16

_Job = TypeVar("_Job")


class Slot(Generic[_Job]):
    """applied, scope: of what the session holds. held: its tokens, those of the answer once that is done.
    started: whether the job's prompt is queued; until then the slot waits for what another computes."""

    def __init__(self, session: _core.Session) -> None:
        self.session = session
        self.applied: Applied = ()
        self.scope = ""
        self.held: list[int] = []
        self.job: _Job | None = None
        self.started = False
        self.cut: int | None = None  # of the prompt, what is computed first, so that states are at hand there
        self.used = 0
        self._lease = Lease(session)
        self._lent = ExitStack()  # gives the constraint back
        self._constraint: Constraint | None = None

    def constrain(self, constraint: Constraint | None, pool: Pool) -> None:
        if constraint is not self._constraint:
            self.give_back()
            self._lent.enter_context(pool.lend(self._lease, constraint))
            self._constraint = constraint

    def give_back(self) -> None:
        """The constraint."""
        self._constraint = None
        self._lent.close()

    def put_on(self, applied: Applied, scope: str) -> None:
        """What it computed under others is forgotten."""
        if (applied, scope) == (self.applied, self.scope):
            return
        self.session.rewind(0)
        self.held = []
        self.scope = scope
        if applied != self.applied:
            put_on(self.session, applied)
            self.applied = applied

    def leave(self) -> None:
        """The job is over; what was computed stays. Its session must not be under way."""
        computed, tokens = held(self.session)
        try:
            self.session.rewind(computed)
        except RuntimeFault:  # a window's ring has lost what going on there needs
            self.session.rewind(0)
            tokens = []
        self.held = tokens[:computed]
        self.job, self.started, self.cut = None, False, None


class Slots(Generic[_Job]):
    """All of a scheduler's. What a prompt shares with what one of them holds, of the same adapters and scope,
    is not computed again: it goes on there, or a copy is taken. A copy gives the bits of a fresh
    computation."""

    def __init__(self, sessions: Sequence[_core.Session], has_states: bool) -> None:
        self.all: list[Slot[_Job]] = [Slot(session) for session in sessions]
        self._has_states = has_states
        self._turns = 0

    def free(self, tokens: list[int], applied: Applied, scope: str) -> Slot[_Job]:
        """One without a job, of which there must be one: that which holds most of the prompt, or else, where
        that would forget much, the one that was unused for longest."""
        free = [slot for slot in self.all if slot.job is None]
        oldest = min(free, key=lambda slot: slot.used)
        self._turns += 1
        alike = [slot for slot in free if (slot.applied, slot.scope) == (applied, scope)]
        best = max(alike, key=lambda slot: shared(tokens, slot.held), default=oldest)
        loses = len(best.held) - shared(tokens, best.held)
        taken = best if best in alike and loses < WORTH_KEEPING else oldest
        taken.used = self._turns
        return taken

    def ready(self, slot: Slot[_Job], tokens: list[int]) -> bool:
        """Has the slot take over what others hold of the prompt. False while one of them computes such a part:
        then it is not there yet, and would be computed twice."""
        own = shared(tokens[:-1], slot.held)
        best, most = None, own + WORTH_SHARING - 1
        for other in self.all:
            if other is slot or (other.applied, other.scope) != (slot.applied, slot.scope):
                continue
            if other.job is not None and not other.started:
                continue
            same = shared(tokens[:-1], other.held)
            if same > most:
                best, most = other, same
        if best is None:
            return True
        if best.session.computed() < most and best.job is not None:
            if self._has_states:
                self._cut(best, most)
            return False
        # A window's ring may have lost what the prefix needs; it is then computed again.
        with contextlib.suppress(RuntimeFault):
            slot.session.copy_from(best.session, most + 1 if most < len(best.held) else most)
        return True

    def _cut(self, slot: Slot[_Job], length: int) -> None:
        """A recurrent state is at hand where a computation ended: this one is to end there first, but where its
        answer has begun, as one whose first tokens must come may have before the prompt is computed."""
        _, tokens = slot.session.tokens()
        if len(tokens) <= len(slot.held) and (slot.cut is None or length < slot.cut):
            with contextlib.suppress(RuntimeFault):  # it is under way; then that part is computed twice
                begin(slot.session, slot.held, length)
                slot.cut = length
