"""Sessions with a prefix cache: a prefix that prompts share is computed once."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tinsmith import _core
from tinsmith.errors import InputError, RuntimeFault
from tinsmith.runtime.adapters import Applied, prefix_of, rank_of
from tinsmith.runtime.image_prompt import begin, rows_in, session_tokens, shared

# A session that would forget fewer computed tokens than this is rewound, not copied.
WORTH_KEEPING = 32

TAKEN = (
    "another generation of this model has taken its session; read an answer to its end before the next begins, "
    "or load the model for each concurrent one"
)

SetAdapters = Callable[[Applied], None]


class Lease:
    """A generation's hold on a session, until another generation takes it."""

    def __init__(self, entry: _Entry) -> None:
        self._entry = entry

    @property
    def session(self) -> _core.Session:
        """Raises InputError once another generation has taken it."""
        if self._entry.lease is not self:
            raise InputError(TAKEN)
        return self._entry.session

    def constrain(self, constraint: _core.Constraint | None) -> None:
        """Does nothing once another generation has taken the session."""
        if self._entry.lease is self:
            self._entry.session.constrain(constraint)


@dataclass(eq=False)
class _Entry:
    """applied: the adapters of the computed tokens; rank, rows: room for adapters and image rows. lease: of the
    generation that has the session."""

    session: _core.Session
    _set_adapters: SetAdapters
    context: int
    rank: int
    rows: int
    applied: Applied = ()
    lease: Lease | None = None

    def set_adapters(self, applied: Applied) -> None:
        """Sets the adapters; forgets tokens computed under others."""
        if applied != self.applied:
            self.session.rewind(0)
            self._set_adapters(applied)
            self.applied = applied

    def take(self) -> Lease:
        self.session.constrain(None)
        self.lease = Lease(self)
        return self.lease


class Sessions:
    """A model's sessions, at most `most` of them: the prefix cache of `Model.generate`.

    A prompt continues in the session that shares the most tokens with it. If that would forget much, as when
    conversations with one system prompt alternate, the shared prefix is copied to the least recently used
    session. A copy gives the bits of a fresh computation. Sessions share a prefix only under equal adapters.
    """

    def __init__(
        self, limit: int, make: Callable[[int, int, int], tuple[_core.Session, SetAdapters]], most: int = 4
    ) -> None:
        """limit: the model's context. make: of context, adapter_rank and image_rows, a session and the function
        that sets its adapters."""
        self._limit = limit
        self._make = make
        self._most = most
        self._sessions: list[_Entry] = []  # last used at the end

    def open(self, prompt: Sequence[int], room: int, applied: Applied = ()) -> Lease:
        """A session with the prompt queued after its known prefix. The session's generation loses it.

        room: positions after the prompt. Raises RuntimeFault for a prompt longer than the model's context.
        """
        wanted = min(self._limit, prefix_of(applied) + len(prompt) + room)
        best, same, loses = self._closest(prompt, applied)
        rows = rows_in(prompt)
        fits = best is not None and best.context >= wanted and best.rows >= rows
        if best is not None and fits and (loses < WORTH_KEEPING or self._most == 1):
            taken = best
            self._sessions.remove(best)
            lease = taken.take()
        else:
            taken = self._other(best, wanted, rank_of(applied), rows)
            lease = taken.take()
            taken.set_adapters(applied)
            if best is not None:
                # A window's ring may have lost keys of the prefix; it is then computed again.
                with contextlib.suppress(RuntimeFault):
                    taken.session.copy_from(best.session, min(same + 1, len(best.session.tokens()[1])))
                outgrown = not fits and loses < WORTH_KEEPING
                if outgrown or len(self._sessions) >= self._most:
                    self._sessions.remove(best)
        self._sessions.append(taken)
        begin(taken.session, prompt)
        taken.session.want_logits(2**32 - 1)
        return lease

    def _closest(self, prompt: Sequence[int], applied: Applied) -> tuple[_Entry | None, int, int]:
        """The session with these adapters that shares the most tokens with the prompt, their number, and the
        number of its computed tokens beyond them."""
        best, most, loses = None, 0, 0
        for entry in self._sessions:
            if entry.applied != applied:
                continue
            computed, tokens = session_tokens(entry.session)
            same = shared(prompt, tokens[:computed])
            if best is None or same >= most:
                best, most, loses = entry, same, computed - same
        return best, most, loses

    def _other(self, keep: _Entry | None, wanted: int, rank: int, rows: int) -> _Entry:
        """A session that fits and is not `keep`: the least recently used, or a new one."""
        if len(self._sessions) >= self._most:
            oldest = next((entry for entry in self._sessions if entry is not keep), None)
            if oldest is not None:
                self._sessions.remove(oldest)
                if oldest.context >= wanted and oldest.rank >= rank and oldest.rows >= rows:
                    return oldest
        # Powers of two: a growing conversation does not move at every turn.
        context = min(self._limit, max(512, 1 << (wanted - 1).bit_length()))
        rows = context if rows else 0
        return _Entry(*self._make(context, rank, rows), context, rank, rows)
