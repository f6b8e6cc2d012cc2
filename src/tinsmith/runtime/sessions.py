"""Sessions that remember: what prompts share is computed once."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence

from tinsmith import _core
from tinsmith.errors import InputError, RuntimeFault
from tinsmith.runtime.adapters import Applied, prefix_of, rank_of
from tinsmith.runtime.image_prompt import begin, held, rows_in
from tinsmith.runtime.prefix import shared

# What a rewound session forgets is computed again; fewer tokens than this are not worth a session of their own.
WORTH_KEEPING = 32


TAKEN = (
    "another generation of this model has taken its session; read an answer to its end before the next one "
    "begins, or load the model once for each that runs"
)


Wear = Callable[[Applied], None]


class Lease:
    """A session for as long as one generation has it."""

    def __init__(self, session: _core.Session) -> None:
        self._session: _core.Session | None = session

    @property
    def session(self) -> _core.Session:
        """Raises InputError once another has it."""
        if self._session is None:
            raise InputError(TAKEN)
        return self._session

    def constrain(self, constraint: _core.Constraint | None) -> None:
        """Does nothing once another has the session, which is then free of what this one set."""
        if self._session is not None:
            self._session.constrain(constraint)

    def end(self) -> None:
        """Takes the session away."""
        self.constrain(None)
        self._session = None


class _Entry:
    """applied: the adapters that shape what the session holds; rank, rows: what it has room for."""

    def __init__(self, session: _core.Session, wear: Wear, context: int, rank: int, rows: int) -> None:
        self.session = session
        self._wear = wear
        self.context = context
        self.rank = rank
        self.rows = rows
        self.applied: Applied = ()
        self.lease = Lease(session)

    def put_on(self, applied: Applied) -> None:
        """What it computed under others is forgotten."""
        if applied != self.applied:
            self.session.rewind(0)
            self._wear(applied)
            self.applied = applied

    def take(self) -> Lease:
        self.lease.end()
        self.lease = Lease(self.session)
        return self.lease


class Sessions:
    """A model's sessions, at most `most` of them: the prefix cache of `Model.generate`.

    A prompt goes on in the session that shares the most tokens with it. Where that would forget much, as when
    conversations with one system prompt take turns, the shared part is copied to another session, the one
    that was not used for the longest time. A copy gives the bits of a fresh computation. All sessions are of
    one model and cache type; beside these, only the adapters shape what they hold, and it goes from one to
    another of the same alone.
    """

    def __init__(
        self, limit: int, make: Callable[[int, int, int], tuple[_core.Session, Wear]], most: int = 4
    ) -> None:
        """limit: the model's context. make: a session with the context, adapter_rank and image_rows that it is
        given, and what puts adapters on it."""
        self._limit = limit
        self._make = make
        self._most = most
        self._sessions: list[_Entry] = []  # used last at the end

    def open(self, prompt: Sequence[int], room: int, applied: Applied = ()) -> Lease:
        """A session with the prompt queued behind what is known of it. Whoever had that session loses it.

        room: positions wanted beyond the prompt. Raises RuntimeFault when the prompt alone does not fit the
        model's context.
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
            taken.put_on(applied)
            if best is not None:
                # A window's ring may have lost what the prefix needs; it is then computed again.
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
        """The session with these adapters that shares the most with the prompt, how many tokens, and how many
        computed ones it has beyond them."""
        best, most, loses = None, 0, 0
        for entry in self._sessions:
            if entry.applied != applied:
                continue
            computed, tokens = held(entry.session)
            same = shared(prompt, tokens[:computed])
            if best is None or same >= most:
                best, most, loses = entry, same, computed - same
        return best, most, loses

    def _other(self, keep: _Entry | None, wanted: int, rank: int, rows: int) -> _Entry:
        """A session that fits and is not `keep`: a new one, or the one that was unused for longest."""
        if len(self._sessions) >= self._most:
            oldest = next((entry for entry in self._sessions if entry is not keep), None)
            if oldest is not None:
                self._sessions.remove(oldest)
                if oldest.context >= wanted and oldest.rank >= rank and oldest.rows >= rows:
                    return oldest
        # Powers of two, so that a growing conversation is not moved at every turn.
        context = min(self._limit, max(512, 1 << (wanted - 1).bit_length()))
        rows = context if rows else 0
        return _Entry(*self._make(context, rank, rows), context, rank, rows)
