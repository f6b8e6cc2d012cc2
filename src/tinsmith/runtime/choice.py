"""What each token of an answer was chosen by."""

from __future__ import annotations

from dataclasses import dataclass

from tinsmith import _core
from tinsmith.checks import whole

MOST_TOPS = 64


@dataclass(frozen=True)
class Choice:
    """One token of an answer. forced: the constraint left no other. allowed: how many tokens might have been
    chosen; None: the whole vocabulary. logit: its own, 0 where forced. log_probability: its natural logarithm
    among those allowed, before biases, penalties and temperature; 0 where forced, or not asked for. tops: the
    likeliest allowed tokens, with the same of theirs; none where forced, or where the answer was looked for as
    a whole (Constraint.with_search)."""

    token: int
    forced: bool
    allowed: int | None
    logit: float
    log_probability: float
    tops: tuple[tuple[int, float], ...] = ()


def record(session: _core.Session, wanted: bool, tops: int) -> None:
    """Has the session keep what it chooses by, or not. tops: alternatives of each choice."""
    tops = whole("tops", tops, 0, MOST_TOPS)
    session.record(tops if wanted or tops else None)


def choice_of(session: _core.Session, token: int, constrained: bool) -> Choice:
    """Of the token that the session's last step gave."""
    allowed, logit, log_probability, tops = session.choice()
    known = allowed if constrained else None
    return Choice(token, allowed == 1, known, logit, log_probability, tops)
