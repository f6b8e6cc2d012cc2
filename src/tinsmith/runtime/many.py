"""Many prompts at once, in one batch."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from typing import TYPE_CHECKING

from tinsmith.checks import whole
from tinsmith.runtime.adapters import prefix_of, rank_of
from tinsmith.runtime.generation import check_max_tokens
from tinsmith.runtime.scheduler import Asked, Scheduler

if TYPE_CHECKING:
    from tinsmith.runtime.generation import Completion
    from tinsmith.runtime.loaded import Loaded


def generate_many(model: Loaded, prompts: Sequence[Asked], concurrency: int) -> list[Completion]:
    """Model.generate_many, on tokens. Raises what the first that failed did."""
    whole("concurrency", concurrency, 1)
    if not prompts:
        return []
    with closing(scheduler_for(model, prompts, concurrency)) as scheduler:
        jobs = {item: scheduler.add(prompts[item]) for item in _in_turn(prompts)}
        while scheduler.running or scheduler.waiting:
            for job in scheduler.step():
                if job.error is not None:
                    raise job.error
        return [done for k in range(len(prompts)) if (done := jobs[k].completion) is not None]


def scheduler_for(model: Loaded, prompts: Sequence[Asked], concurrency: int) -> Scheduler:
    """With room for these, so many at a time."""
    longest = max(
        prefix_of(one.applied) + len(one.tokens) + check_max_tokens(one.max_tokens) for one in prompts
    )
    return Scheduler(
        model,
        slots=min(concurrency, len(prompts)),
        context=min(model.core.info()["context"], longest + 1),
        rank=max(rank_of(one.applied) for one in prompts),
        kept=0,
        delay=None,
    )


def _in_turn(prompts: Sequence[Asked]) -> list[int]:
    """Their items, those of one set of adapters one after the other, and in them those that are alike: what one
    has computed is still there for the next."""
    first: dict[object, int] = {}
    keys = []
    for item, one in enumerate(prompts):
        adapters = first.setdefault(one.applied, item)
        keys.append((adapters, first.setdefault((one.applied, tuple(one.tokens)), item), item))
    return [item for *_, item in sorted(keys)]
