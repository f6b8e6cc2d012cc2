"""Many prompts at once, in one batch."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from typing import TYPE_CHECKING

from tinsmith import _core
from tinsmith.checks import whole
from tinsmith.errors import RuntimeFault
from tinsmith.runtime.adapters import Applied, put_on, rank_of
from tinsmith.runtime.generation import FINISH, Answer, Completion, Sampling, check_max_tokens
from tinsmith.runtime.prefix import shared
from tinsmith.runtime.sessions import Lease

if TYPE_CHECKING:
    from tinsmith.constraint import Constraint
    from tinsmith.runtime.loaded import Loaded

# A shorter common prefix is not worth a session that holds it.
WORTH_SHARING = 16


class _Place:
    """One of the batch's sessions, and the prompt whose turn it is there."""

    def __init__(self, session: _core.Session) -> None:
        self.session = session
        self.item = -1
        self.applied: Applied = ()
        self.alike: list[int] = []  # the prompts that are waiting and are as its latest one
        self.answer: Answer | None = None
        self.started = 0.0


def generate_many(
    model: Loaded,
    prompts: Sequence[Sequence[int]],
    concurrency: int,
    max_tokens: int,
    sampling: Sampling,
    stop: Sequence[str],
    constraint: Constraint | None = None,
    applied: Sequence[Applied] | None = None,
    least: float | None = None,
    seeds: Sequence[int] | None = None,
) -> list[Completion]:
    """Model.generate_many, on tokens. applied: by prompt, None for no adapters; seeds: by prompt, None for
    that of sampling."""
    max_tokens = check_max_tokens(max_tokens)
    concurrency = whole("concurrency", concurrency, 1)
    completions: dict[int, Completion] = {}
    if not prompts:
        return []
    limit = model.core.info()["context"]
    context = min(limit, max(map(len, prompts)) + max_tokens + 1)
    applied = applied or [()] * len(prompts)
    rank = max(map(rank_of, applied))
    common = {one: _common_prefix(model, prompts, context, one, applied) for one in set(applied)}
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
            held.enter_context(model.constraints.lend(Lease(session), constraint))
            places.append(_Place(session))
        held.callback(batch.cancel)  # first: what is under way gives nothing back
        waiting: dict[tuple[int, ...], list[int]] = {}
        for item in reversed(range(len(prompts))):
            waiting.setdefault(tuple(prompts[item]), []).append(item)
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
            own = applied[place.item]
            if own != place.applied:
                place.session.rewind(0)
                place.session.adapter(None)
                put_on(place.session, own)
                place.applied = own
            known, prompt = common[own], prompts[place.item]
            place.session.replace(prompt)
            if known is not None and place.session.tokens()[0] < known.tokens()[0]:
                place.session.copy_from(known)
                place.session.replace(prompt)
            drawn = sampling if seeds is None else replace(sampling, seed=seeds[place.item])
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
                prompt = prompts[place.item]
                passes = place.session.passes()
                completions[place.item] = Completion(
                    answer.text,
                    answer.tokens,
                    len(prompt),
                    seconds,
                    finish,
                    passes,
                    log_probability=place.session.log_probability() if sampling.sure else None,
                    least=least,
                )
                place.answer = None
                next_prompt(place)
        return [completions[k] for k in range(len(prompts))]


def _common_prefix(
    model: Loaded,
    prompts: Sequence[Sequence[int]],
    context: int,
    own: Applied,
    applied: Sequence[Applied],
) -> _core.Session | None:
    """A session that has computed what all prompts with these adapters begin with, where that is worth it."""
    alike = [prompt for prompt, theirs in zip(prompts, applied, strict=True) if theirs == own]
    first = alike[0]
    length = min((shared(first, prompt) for prompt in alike[1:]), default=0)
    length = min(length, *(len(prompt) - 1 for prompt in alike))
    if length < WORTH_SHARING:
        return None
    session = _core.Session(
        model.core,
        context=context,
        threads=model.threads,
        kv_type=model.kv_type,
        adapter_rank=rank_of(own),
    )
    put_on(session, own)
    session.append(first[:length])
    session.step()
    return session
