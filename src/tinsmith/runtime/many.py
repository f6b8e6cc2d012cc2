"""Many prompts at once, in one batch."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from tinsmith import _core
from tinsmith.checks import whole
from tinsmith.errors import RuntimeFault
from tinsmith.runtime.adapters import Applied, prefix_of, put_on, rank_of
from tinsmith.runtime.generation import FINISH, Answer, Completion, Sampling, check_max_tokens
from tinsmith.runtime.prefix import shared
from tinsmith.runtime.sessions import Lease

if TYPE_CHECKING:
    from tinsmith.constraint import Constraint
    from tinsmith.runtime.loaded import Loaded

# A shorter common prefix is not worth a session that holds it.
WORTH_SHARING = 16


@dataclass(frozen=True)
class Asked:
    """A prompt, the adapters that it is answered under, what the answer may be, the logarithm of the
    probability from which on it is given (None: none is known), whether its probability is counted, and the
    seed that it is drawn by (None: that of sampling)."""

    tokens: Sequence[int]
    applied: Applied = ()
    constraint: Constraint | None = None
    least: float | None = None
    sure: bool = False
    seed: int | None = None


class _Place:
    """One of the batch's sessions, and the prompt whose turn it is there."""

    def __init__(self, session: _core.Session) -> None:
        self.session = session
        self.lease = Lease(session)
        self.lent = ExitStack()  # gives the constraint back
        self.constraint: Constraint | None = None
        self.item = -1
        self.applied: Applied = ()
        self.alike: list[int] = []  # the prompts that are waiting and are as its latest one
        self.answer: Answer | None = None
        self.started = 0.0


def generate_many(
    model: Loaded,
    prompts: Sequence[Asked],
    concurrency: int,
    max_tokens: int,
    sampling: Sampling,
    stop: Sequence[str],
) -> list[Completion]:
    """Model.generate_many, on tokens."""
    max_tokens = check_max_tokens(max_tokens)
    concurrency = whole("concurrency", concurrency, 1)
    completions: dict[int, Completion] = {}
    if not prompts:
        return []
    limit = model.core.info()["context"]
    longest = max(prefix_of(one.applied) + len(one.tokens) for one in prompts)
    context = min(limit, longest + max_tokens + 1)
    rank = max(rank_of(one.applied) for one in prompts)
    common = {
        applied: _common_prefix(
            model, [one.tokens for one in prompts if one.applied == applied], context, applied
        )
        for applied in {one.applied for one in prompts}
    }
    batch = _core.Batch(model.core, threads=model.threads, adapter_rank=rank)
    with ExitStack() as held:
        places = []
        for _ in range(min(concurrency, len(prompts))):
            session = _core.Session(
                model.core,
                context=context,
                logit_rows=sampling.lookup + 1,
                kv_type=model.kv_type,
                batched=True,
                adapter_rank=rank,
            )
            batch.add(session)
            places.append(_Place(session))
            held.enter_context(places[-1].lent)
        held.callback(batch.cancel)  # first: what is under way gives nothing back
        waiting: dict[tuple[tuple[int, ...], Applied], list[int]] = {}
        for item in reversed(range(len(prompts))):
            alike = (tuple(prompts[item].tokens), prompts[item].applied)
            waiting.setdefault(alike, []).append(item)
        queues = list(reversed(waiting.values()))
        fresh = iter(queues)

        def next_prompt(place: _Place) -> None:
            # A session that has computed the prompt takes it again.
            place.alike = place.alike or next(fresh, []) or max(queues, key=len)
            place.item = place.alike.pop() if place.alike else -1
            if place.item < 0:
                place.session.rewind(0)
                return
            place.started = time.perf_counter()
            place.answer = Answer(model.core, stop)
            asked = prompts[place.item]
            if asked.constraint is not place.constraint:
                place.lent.close()
                place.lent.enter_context(model.constraints.lend(place.lease, asked.constraint))
                place.constraint = asked.constraint
            if asked.applied != place.applied:
                place.session.rewind(0)
                put_on(place.session, asked.applied)
                place.applied = asked.applied
            known = common[asked.applied]
            place.session.replace(asked.tokens)
            if known is not None and place.session.tokens()[0] < known.tokens()[0]:
                place.session.copy_from(known)
                place.session.replace(asked.tokens)
            drawn = replace(sampling, sure=asked.sure)
            drawn = drawn if asked.seed is None else replace(drawn, seed=asked.seed)
            drawn.begin(place.session, max_tokens)

        for place in places:
            next_prompt(place)
        while len(completions) < len(prompts):
            events = batch.step()
            if all(event == _core.STEP_IDLE for event in events):
                raise RuntimeFault("TIN_ERR_STATE", "the batch has nothing to do, and answers are missing")
            for place, event in zip(places, events, strict=True):
                answer = place.answer
                if event == _core.STEP_TOKEN and answer is not None:
                    answer.add(place.session.token())
                if answer is None or not (event == _core.STEP_DONE or answer.stopped):
                    continue
                answer.end()
                finish = "stop" if answer.stopped else FINISH[place.session.finish()]
                seconds = time.perf_counter() - place.started
                asked = prompts[place.item]
                passes = place.session.passes()
                completions[place.item] = Completion(
                    answer.text,
                    answer.tokens,
                    len(asked.tokens),
                    seconds,
                    finish,
                    passes,
                    log_probability=place.session.log_probability() if asked.sure else None,
                    least=asked.least,
                )
                place.answer = None
                next_prompt(place)
        return [completions[k] for k in range(len(prompts))]


def _common_prefix(
    model: Loaded, prompts: Sequence[Sequence[int]], context: int, applied: Applied
) -> _core.Session | None:
    """A session that has computed what all prompts, which are of these adapters, begin with, where that is
    worth it."""
    first = prompts[0]
    length = min((shared(first, prompt) for prompt in prompts[1:]), default=0)
    length = min(length, *(len(prompt) - 1 for prompt in prompts))
    if length < WORTH_SHARING:
        return None
    session = _core.Session(
        model.core,
        context=context,
        threads=model.threads,
        kv_type=model.kv_type,
        adapter_rank=rank_of(applied),
    )
    put_on(session, applied)
    session.append(first[:length])
    session.step()
    return session
