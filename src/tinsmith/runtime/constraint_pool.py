"""A model's compiled constraints, kept for later generations."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from tinsmith import _core
from tinsmith.constraint import Constraint
from tinsmith.errors import RuntimeFault
from tinsmith.runtime.sessions import Lease

_MOST_IDLE = 16


class Pool:
    """A model's constraints with their cached masks. One generation uses one at a time."""

    def __init__(self, model: _core.Model) -> None:
        self._model = model
        self._idle: list[tuple[bytes, _core.Constraint]] = []  # last used at the end

    @contextmanager
    def lend(self, lease: Lease | _core.Session, constraint: Constraint | None) -> Iterator[None]:
        """Constrains the session's generations until the exit, or until another generation takes the
        session."""
        if constraint is None:
            yield
            return
        matcher = self._take(constraint.data)
        lease.constrain(matcher)
        try:
            yield
        finally:
            lease.constrain(None)
            self._put_back(constraint.data, matcher)

    def allows(self, constraint: Constraint, tokens: Sequence[int], *, ended: bool) -> bool:
        """Whether an answer may begin with these tokens; ended: whether it may also end there."""
        matcher = self._take(constraint.data)
        matcher.begin()
        try:
            for token in tokens:
                matcher.accept(token)
            return not ended or matcher.state() != _core.CONSTRAINT_OPEN
        except RuntimeFault as fault:
            if fault.status != "TIN_ERR_ARGUMENT":
                raise
            return False
        finally:
            self._put_back(constraint.data, matcher)

    def _put_back(self, data: bytes, matcher: _core.Constraint) -> None:
        self._idle.append((data, matcher))
        del self._idle[:-_MOST_IDLE]

    def _take(self, data: bytes) -> _core.Constraint:
        for entry in self._idle:
            if entry[0] == data:
                self._idle.remove(entry)
                return entry[1]
        return _core.Constraint(self._model, data)
