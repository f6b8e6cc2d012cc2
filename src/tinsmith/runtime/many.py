"""Many requests in one batch."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from typing import TYPE_CHECKING

from tinsmith.checks import whole
from tinsmith.runtime.adapters import prefix_of, rank_of
from tinsmith.runtime.generation import check_max_tokens
from tinsmith.runtime.scheduler import Scheduler

if TYPE_CHECKING:
    from tinsmith.runtime.generation import Completion, TokenRequest
    from tinsmith.runtime.loaded import Loaded


def generate_many(model: Loaded, requests: Sequence[TokenRequest], concurrency: int) -> list[Completion]:
    """Model.generate_many for requests. Raises the error of the first that fails."""
    whole("concurrency", concurrency, 1)
    if not requests:
        return []
    with closing(scheduler_for(model, requests, concurrency)) as scheduler:
        jobs = {item: scheduler.add(requests[item]) for item in _order(requests)}
        while scheduler.running or scheduler.waiting:
            for job in scheduler.step():
                if job.error is not None:
                    raise job.error
        return [done for k in range(len(requests)) if (done := jobs[k].completion) is not None]


def scheduler_for(model: Loaded, requests: Sequence[TokenRequest], concurrency: int) -> Scheduler:
    """A scheduler with room for these requests."""
    longest = max(
        prefix_of(one.applied) + len(one.tokens) + check_max_tokens(one.max_tokens) for one in requests
    )
    return Scheduler(
        model,
        slots=min(concurrency, len(requests)),
        context=min(model.core.info()["context"], longest + 1),
        rank=max(rank_of(one.applied) for one in requests),
        kept=0,
        delay=None,
    )


def _order(requests: Sequence[TokenRequest]) -> list[int]:
    """The requests' numbers, grouped by adapters and then by equal prompts, which share computed prefixes."""
    first: dict[object, int] = {}
    keys = []
    for item, one in enumerate(requests):
        adapters = first.setdefault(one.applied, item)
        keys.append((adapters, first.setdefault((one.applied, tuple(one.tokens)), item), item))
    return [item for *_, item in sorted(keys)]
