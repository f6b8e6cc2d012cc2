"""How each token of an answer was chosen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tinsmith import _core
from tinsmith.checks import whole

MOST_TOPS = 64
LEAST = -9999.0  # OpenAI's log probability for a vanishing probability


@dataclass(frozen=True, kw_only=True)
class TokenChoice:
    """One token of an answer."""

    token: int
    forced: bool  #: Whether the constraint allowed no other token.
    allowed: int | None  #: Number of allowed tokens; None: the whole vocabulary.
    logit: float  #: 0 for a forced token.
    #: Natural logarithm of its probability among the allowed tokens, before biases, penalties and temperature;
    #: 0 for a forced token, or without `confidence` and `tops`.
    log_probability: float
    #: The most likely allowed tokens and their log probabilities; none for a forced token. A constrained search
    #: (Constraint.with_search) gives at most 8, all at least e^-10 times as likely as the first.
    tops: tuple[tuple[int, float], ...] = ()


def record(session: _core.Session, wanted: bool, tops: int) -> None:
    """Lets the session record its choices, or not. tops: alternatives of each choice."""
    tops = whole("tops", tops, 0, MOST_TOPS)
    session.record(tops if wanted or tops else None)


def choice_of(session: _core.Session, token: int, constrained: bool) -> TokenChoice:
    """The choice of the last step's token."""
    allowed, logit, log_probability, tops = session.choice()
    return TokenChoice(
        token=token,
        forced=allowed == 1,
        allowed=allowed if constrained else None,
        logit=logit,
        log_probability=log_probability,
        tops=tops,
    )


def logprob(core: _core.Model, choice: TokenChoice) -> dict[str, Any]:
    """A token and its alternatives in OpenAI's chat format."""
    return {
        **token_shown(core, choice.token, choice.log_probability),
        "top_logprobs": [token_shown(core, token, value) for token, value in choice.tops],
    }


def token_shown(core: _core.Model, token: int, value: float) -> dict[str, Any]:
    """value: its log probability."""
    data = core.token(token)[0]
    return {"token": data.decode("utf-8", "replace"), "logprob": max(value, LEAST), "bytes": list(data)}
