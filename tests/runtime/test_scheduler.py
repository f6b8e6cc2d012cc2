"""Prompts that join and leave a running batch: each answer is that of `generate` alone."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from itertools import pairwise
from typing import Any

import pytest

from tests.models.random_adapters import compiled, random_prefix
from tests.models.tiny_models import tiny_spec
from tinsmith import _core
from tinsmith.compiler import build_image
from tinsmith.constraint import Constraint
from tinsmith.constraint.makers import choices, regex
from tinsmith.errors import InputError, RuntimeFault
from tinsmith.runtime import Model
from tinsmith.runtime.adapters import aligned
from tinsmith.runtime.generation import Sampling, TokenRequest
from tinsmith.runtime.scheduler import Job, Scheduler

SYSTEM = [5 + k % 90 for k in range(70)]


@cache
def tiny(case: str) -> memoryview:
    return build_image(tiny_spec(case))


def loaded(case: str) -> Model:
    model = Model(_core.Model(tiny(case)), tiny(case), threads=1)
    model.adapters.add("first", aligned(compiled(tiny(case))))
    model.adapters.add("prefix", aligned(random_prefix(tiny(case), 9)))
    return model


def finish(scheduler: Scheduler) -> None:
    while scheduler.running or scheduler.waiting:
        scheduler.step()


def alone(model: Model, asked: TokenRequest, adapter: Any = None) -> Any:
    given = {name: getattr(asked.sampling, name) for name in ("temperature", "seed", "lookup")}
    return model.generate(
        asked.tokens,
        max_tokens=asked.max_tokens,
        stop=asked.stop,
        constraint=asked.constraint,
        adapter=adapter,
        confidence=asked.sampling.confidence,
        **given,
    )


def drawn(source: random.Random, model: Model, held: list[Constraint | None]) -> tuple[TokenRequest, Any]:
    adapter = source.choice([None, None, "first", "prefix"])
    begin = SYSTEM[: source.choice([0, 30, 70])]
    tokens = [*begin, *(source.randrange(3, 90) for _ in range(source.choice([1, 5, 120])))]
    constraint, confidence = source.choice(held), source.random() < 0.5
    sampling = Sampling(
        temperature=source.choice([0.0, 1.3]),
        seed=source.randrange(9),
        lookup=source.choice([0, 4]),
        confidence=confidence,
    )
    asked = TokenRequest(
        tokens=tokens,
        applied=model.applied(adapter),
        constraint=constraint,
        max_tokens=source.randint(1, 12),
        sampling=sampling,
        stop=source.choice([(), ("a",)]),
        scope=source.choice(["", "other"]),
    )
    return asked, adapter


@pytest.mark.parametrize("case", ["llama", "gemma3", "qwen35"])
def test_whoever_comes_and_goes_answers_are_those_of_one_alone(case: str) -> None:
    """Windows, recurrent states, adapters, prefixes and constraints; cancels between and within passes."""
    source, model = random.Random(3), loaded(case)
    passes = 100 if case == "llama" else 32  # more than the chunk, and less
    scheduler = Scheduler(model, slots=3, kept=1, pass_tokens=passes, context=250)
    held = [None, None, choices(["red", "reed"]), regex("[a-z ]*")]
    asked: dict[Job, tuple[TokenRequest, Any]] = {}
    gone: set[Job] = set()
    texts: dict[Job, str] = {}
    while len(asked) < 40 or scheduler.running or scheduler.waiting:
        if len(asked) < 40 and source.random() < 0.4:
            one = drawn(source, model, held)
            asked[scheduler.add(one[0])] = one
        live = [job for job in asked if not job.done and job not in gone]
        if source.random() < 0.1 and live:
            job = source.choice(live)
            scheduler.cancel(job)
            gone.add(job)
        for job in scheduler.step(source.choice([None, -1.0, 1e-12, 0.001, 1e300, math.inf])):
            assert job not in gone
            texts[job] = texts.get(job, "") + job.take()
        assert scheduler.running <= 3
    assert gone
    lone = loaded(case)
    for job, (one, adapter) in asked.items():
        if job in gone:
            assert job.completion is None
            continue
        assert job.completion is not None, job.error
        right = alone(lone, replace(one, applied=lone.applied(adapter)), adapter)
        assert job.completion.token_ids == right.token_ids
        assert (job.completion.text, job.completion.finish) == (right.text, right.finish)
        assert job.completion.log_probability == right.log_probability
        assert texts[job] == right.text


@pytest.mark.parametrize("case", ["llama", "qwen35"])
def test_common_prefix_is_computed_once(case: str) -> None:
    """By the first of them; the others wait for it, whether they come with it or after it."""
    model = loaded(case)
    scheduler = Scheduler(model, slots=4)
    jobs = [scheduler.add(TokenRequest(tokens=[*SYSTEM, 7, 8 + k], max_tokens=3)) for k in range(6)]
    finish(scheduler)
    assert [job.cached_tokens for job in jobs[:4]] == [0, 71, 71, 71]
    assert all(job.cached_tokens >= 70 for job in jobs[4:]) or case == "qwen35"
    again = scheduler.add(replace(jobs[0].request, tokens=[*jobs[0].request.tokens, 9]))
    finish(scheduler)
    assert again.cached_tokens >= 71


def test_scopes_share_no_prefix(model: Model) -> None:
    scheduler = Scheduler(model, slots=2)
    jobs = []
    for scope, applied in [("one", ()), ("other", ()), ("one", ()), ("other", ())]:
        jobs.append(scheduler.add(TokenRequest(tokens=SYSTEM, applied=applied, max_tokens=2, scope=scope)))
        finish(scheduler)
    assert [job.cached_tokens for job in jobs] == [0, 0, 69, 69]


def test_a_prefix_stays_while_conversations_take_turns(model: Model) -> None:
    scheduler = Scheduler(model, slots=1, kept=2)
    talks = [[*SYSTEM, *range(20 * k + 5, 20 * k + 45)] for k in range(3)]
    cached = []
    for turn in range(3):
        for talk in talks:
            job = scheduler.add(TokenRequest(tokens=list(talk), max_tokens=20))
            finish(scheduler)
            assert job.completion is not None
            cached.append(job.cached_tokens)
            talk += [*job.completion.token_ids, 7 + turn, 8]
    assert cached[:3] == [0, 70, 70]
    assert all(known >= 110 for known in cached[3:])


def test_a_long_prompt_comes_in_slices(model: Model) -> None:
    """Who is answered meanwhile gets a token for each."""
    scheduler = Scheduler(model, slots=2, pass_tokens=16)
    running = scheduler.add(TokenRequest(tokens=[5, 6, 7], max_tokens=60, sampling=Sampling()))
    scheduler.step()
    long = scheduler.add(TokenRequest(tokens=[*range(3, 90)] * 4, max_tokens=2))
    scheduler._seat()
    (slot,) = [one for one in scheduler._slots.all if one.job is long]
    seen: list[int] = []
    while long not in (news := scheduler.step()):
        assert running in news
        seen.append(slot.session.computed())
    assert max(after - before for before, after in pairwise(seen)) <= 16
    assert len(seen) > 348 // 16


@pytest.mark.parametrize(("delay", "rows"), [(0.0, 8), (1000.0, 64)])
def test_beside_answers_as_much_of_a_prompt_is_computed_as_may_delay_them(
    model: Model, delay: float, rows: int
) -> None:
    """Alone it has all that a pass holds."""
    scheduler = Scheduler(model, slots=2, delay=delay)
    running = scheduler.add(TokenRequest(tokens=[5, 6, 7], max_tokens=200, sampling=Sampling(lookup=4)))
    tokens = [*range(3, 90)] * 4
    while not running.take():
        scheduler.step()
    long = scheduler.add(TokenRequest(tokens=tokens, max_tokens=2))
    scheduler._seat()
    (slot,) = [one for one in scheduler._slots.all if one.job is long]
    seen = []
    while long not in scheduler.step():
        seen.append(slot.session.computed())
    steps = [after - before for before, after in pairwise(seen) if after > before]
    assert all(rows - 5 <= step <= rows for step in steps[2:-1]) and len(steps) > 4
    finish(scheduler)
    assert long.completion is not None and running.completion is not None
    assert long.completion.token_ids == model.generate(tokens, max_tokens=2, constraint=None).token_ids
    unbound = Scheduler(model, slots=2, delay=None)
    jobs = [
        unbound.add(TokenRequest(tokens=[5, 6, 7], max_tokens=60)),
        unbound.add(TokenRequest(tokens=tokens, max_tokens=2)),
    ]
    finish(unbound)
    assert [job.completion is not None for job in jobs] == [True, True]
    alone = Scheduler(model, slots=2, delay=delay)
    alone.add(TokenRequest(tokens=tokens, max_tokens=2))
    alone.step(1e-9)
    (slot,) = [one for one in alone._slots.all if one.job is not None]
    seen = [slot.session.computed()]
    while alone.running:
        alone.step(1e-9)
        seen.append(slot.session.computed())
    assert max(after - before for before, after in pairwise(seen)) == 64


def test_a_job_that_is_cancelled_leaves_at_once(model: Model) -> None:
    scheduler = Scheduler(model, slots=1)
    first = scheduler.add(TokenRequest(tokens=[*range(3, 90)] * 3, max_tokens=200))
    second = scheduler.add(TokenRequest(tokens=[5, 6], max_tokens=2))
    third = scheduler.add(TokenRequest(tokens=[5, 6], max_tokens=2))
    scheduler.step(1e-9)  # its prompt is under way
    scheduler.cancel(first)
    scheduler.cancel(third)
    assert (scheduler.running, scheduler.waiting) == (0, 1)
    finish(scheduler)
    assert second.completion is not None and first.completion is None and third.completion is None
    scheduler.cancel(second)
    assert second.completion is not None


def test_oversized_requests_are_rejected(model: Model, image: Callable[[str], memoryview]) -> None:
    adapter = aligned(compiled(image("Q8_0")))
    model.adapters.add("first", adapter)
    scheduler = Scheduler(model, slots=1, context=40, rank=0)
    with pytest.raises(InputError, match="a prompt of 41 tokens; give 1 to 40"):
        scheduler.add(TokenRequest(tokens=[5] * 41))
    with pytest.raises(InputError, match="a prompt of 0 tokens"):
        scheduler.add(TokenRequest(tokens=[]))
    with pytest.raises(InputError, match="there is room for 0"):
        scheduler.add(TokenRequest(tokens=[5], applied=model.applied("first"), max_tokens=1))
    with pytest.raises(InputError, match="is not in the vocabulary"):
        scheduler.add(TokenRequest(tokens=[10**6]))
    with pytest.raises(InputError, match="max_tokens is 0"):
        scheduler.add(TokenRequest(tokens=[5], max_tokens=0))
    with pytest.raises(InputError, match="context is 10000"):
        Scheduler(model, context=10000)
    with pytest.raises(InputError, match="a prompt of 38 tokens, and max_tokens 3; they may be 40 in all"):
        scheduler.add(TokenRequest(tokens=[5] * 38, max_tokens=3))
    whole = Scheduler(model, slots=1)
    full = whole.add(TokenRequest(tokens=[5] * (model.info.context - 2), max_tokens=30))
    finish(whole)
    assert full.completion is not None and full.completion.finish == "context"


def test_a_job_that_fails_leaves_the_others_alone(model: Model) -> None:
    """Its constraint was compiled for no model."""
    scheduler = Scheduler(model, slots=2)
    right = scheduler.add(TokenRequest(tokens=[5, 6], max_tokens=4))
    wrong = scheduler.add(
        TokenRequest(tokens=[5, 6], constraint=replace(choices(["a", "b"]), data=b"none"), max_tokens=4)
    )
    news = scheduler.step()
    finish(scheduler)
    assert wrong in news and isinstance(wrong.error, RuntimeFault)
    assert right.completion is not None and scheduler.running == 0


def test_memory_is_planned(model: Model) -> None:
    small, large = Scheduler(model, slots=2, kept=0), Scheduler(model, slots=6, kept=0)
    session = _core.Session(model.core, context=512, logit_rows=64, batched=True, searches=True)
    session.record(64)
    assert large.memory - small.memory == 4 * session.size()
    assert Scheduler(model, slots=2, kept=4).memory == large.memory
    before = large.memory
    for k in range(20):
        large.add(TokenRequest(tokens=[5, 6, 7 + k], max_tokens=3))
    finish(large)
    assert large.memory == before
