"""How sure a model was of an answer that it gave."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from tinsmith import _core
from tinsmith.runtime.forced import Forced

if TYPE_CHECKING:
    from tinsmith.constraint import Constraint
    from tinsmith.runtime.adapters import Chosen
    from tinsmith.runtime.loaded import Loaded


def confidence(
    model: Loaded,
    prompt: Sequence[int],
    answer: Sequence[int],
    ended: bool,
    constraint: Constraint | None,
    adapter: Chosen = None,
) -> float:
    """The probability of the least likely token that the model chose: of the answer's tokens, and where it
    ended by itself of the end, without those that the constraint left no choice of; 1 where it chose none.

    Costs a pass over the answer. Probabilities are the bare model's, before temperature and constraint."""
    wanted = [*answer, model.end_token] if ended else list(answer)
    if not wanted:
        return 1.0
    session = model.open_session(prompt, len(answer), adapter)
    session.rewind(len(prompt) - 1)
    session.append([prompt[-1], *wanted[:-1]])
    session.want_logits(len(prompt) - 1)
    logprobs: list[float] = []
    while session.step() == _core.STEP_LOGITS:
        rows = len(session.likeliest())
        logprobs += session.logprobs(wanted[len(logprobs) : len(logprobs) + rows])
    forced = () if constraint is None else Forced(model, constraint.data)(prompt, wanted)
    chosen = (value for place, value in enumerate(logprobs) if place not in forced)
    return math.exp(min(chosen, default=0.0))
