"""What each token of an answer was chosen by."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tinsmith import _core
from tinsmith.checks import whole

MOST_TOPS = 64
LEAST = -9999.0  # what OpenAI writes of a probability that is as good as none


@dataclass(frozen=True)
class TokenChoice:
    """One token of an answer. forced: the constraint left no other. allowed: how many tokens might have been
    chosen; None: the whole vocabulary. logit: its own, 0 where forced. log_probability: its natural logarithm
    among those allowed, before biases, penalties and temperature; 0 where forced, or not asked for. tops: the
    likeliest allowed tokens, with the same of theirs; none where forced. Where the answer was searched for as a
    whole (Constraint.with_search), at most 8, none of them e^10 times less likely than the first."""

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


def choice_of(session: _core.Session, token: int, constrained: bool) -> TokenChoice:
    """Of the token that the session's last step gave."""
    allowed, logit, log_probability, tops = session.choice()
    known = allowed if constrained else None
    return TokenChoice(token, allowed == 1, known, logit, log_probability, tops)


def logprob(core: _core.Model, choice: TokenChoice) -> dict[str, Any]:
    """A token and its alternatives as OpenAI's chat writes them."""
    return {
        **token_shown(core, choice.token, choice.log_probability),
        "top_logprobs": [token_shown(core, token, value) for token, value in choice.tops],
    }


def token_shown(core: _core.Model, token: int, value: float) -> dict[str, Any]:
    """value: the logarithm of its probability."""
    data = core.token(token)[0]
    return {
        "token": data.decode("utf-8", "replace"),
        "logprob": max(value, LEAST),
        "bytes": list(data),
    }
