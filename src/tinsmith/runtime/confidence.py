"""How sure a model was of an answer that it gave."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from tinsmith import _core

if TYPE_CHECKING:
    from tinsmith.constraint import Constraint
    from tinsmith.runtime.loaded import Loaded


def confidence(
    model: Loaded, prompt: Sequence[int], answer: Sequence[int], ended: bool, constraint: Constraint | None
) -> float:
    """The probability of the least likely token that the model chose: of the answer's tokens, and where it
    ended by itself of the end, without those that the constraint left no choice of; 1 where it chose none.

    Costs a pass over the answer. Probabilities are the bare model's, before temperature and constraint."""
    wanted = [*answer, model.end_token] if ended else list(answer)
    if not wanted:
        return 1.0
    session = model.open_session(prompt, len(answer))
    session.rewind(len(prompt) - 1)
    session.append([prompt[-1], *wanted[:-1]])
    session.want_logits(len(prompt) - 1)
    logprobs: list[float] = []
    while session.step() == _core.STEP_LOGITS:
        rows = len(session.likeliest())
        logprobs += session.logprobs(wanted[len(logprobs) : len(logprobs) + rows])
    places = range(len(wanted)) if constraint is None else _chosen(model, prompt, wanted, constraint)
    return min((math.exp(logprobs[place]) for place in places), default=1.0)


def _chosen(
    model: Loaded, prompt: Sequence[int], wanted: Sequence[int], constraint: Constraint
) -> Iterator[int]:
    """The places of the tokens that the constraint did not force."""
    held = _core.Constraint(model.core, constraint.data)
    held.begin()
    place = 0
    while place < len(wanted):
        forced = held.forced([*prompt, *wanted[:place]][-64:])
        if forced and list(wanted[place : place + len(forced)]) == forced[: len(wanted) - place]:
            run = wanted[place : place + len(forced)]
        else:
            run = wanted[place : place + 1]
            if not _ends(model, run[0]) or not _only_ends(model, held):
                yield place
        for token in run:
            if not _ends(model, token):
                held.accept(token)
        place += len(run)


def _ends(model: Loaded, token: int) -> bool:
    return model.core.token(token)[2]


def _only_ends(model: Loaded, held: _core.Constraint) -> bool:
    """Whether nothing may follow but an end."""
    allowed = int.from_bytes(held.mask(), "little")
    while allowed:
        if not _ends(model, (allowed & -allowed).bit_length() - 1):
            return False
        allowed &= allowed - 1
    return True
