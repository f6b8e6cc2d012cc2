"""A model's eyes: pictures are read and seen in a thread of their own, beside the batch's."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from threading import Event
from typing import TYPE_CHECKING, TypeVar

from tinsmith.runtime.images import Pictured
from tinsmith.serve.faults import Refused

if TYPE_CHECKING:
    from tinsmith.runtime.images import Image
    from tinsmith.runtime.loaded import Loaded
    from tinsmith.serve.limits import Limits
    from tinsmith.serve.worker import Ticket

T = TypeVar("T")


class Left(Exception):
    """Whoever asked is gone."""


class Eyes:
    """One tower, and so one thread. What is public is for the event loop, but `see`."""

    def __init__(self, model: Loaded, limits: Limits) -> None:
        """Raises InputError for a model without, or with damaged ones."""
        self.memory = model.sight.memory
        self.waiting = 0  # questions, with the one that is looked at
        self.held = 0  # bytes of rows that questions under way have
        self._limits = limits
        self._thread = ThreadPoolExecutor(1, f"tinsmith eyes {model.info.name}")
        self._known: OrderedDict[tuple[str, bytes], bytes] = OrderedDict()  # rows; used last at the end
        self._size = 0  # bytes of them

    async def do(self, work: Callable[[Event], T]) -> T:
        """What the thread makes of the work, which is told when nobody waits for it any more. Raises Refused
        where too many wait."""
        if self.waiting >= self._limits.queue or self.held >= self._limits.rows:
            raise Refused(
                503,
                "too many questions with pictures are under way; ask again later",
                code="overloaded",
                after=1,
            )
        left = Event()
        self.waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, partial(work, left))
        finally:
            left.set()
            self.waiting -= 1

    def hold(self, prompt: Pictured, ticket: Ticket) -> None:
        """Counts a prompt's rows until its answer ends."""
        size = sum(len(image.rows) for _, image in prompt.images)
        self.held += size
        ticket.at_end(partial(self._free, size))

    def _free(self, size: int) -> None:
        self.held -= size

    def close(self) -> None:
        self._thread.shutdown(cancel_futures=True)

    # The thread's own.

    def see(self, prompt: Pictured, scope: str, left: Event) -> None:
        """Makes the rows of a prompt's images; those that the scope has asked with lately are known."""
        for _, image in prompt.images:
            if left.is_set():
                raise Left
            self._see(image, (scope, image.digest))

    def _see(self, image: Image, key: tuple[str, bytes]) -> None:
        rows = self._known.pop(key, None)
        self._size -= len(rows or b"")
        image.rows = rows = image.rows if rows is None else rows
        image.make = lambda: rows  # the picture itself is not kept
        self._known[key] = rows
        self._size += len(rows)
        while self._size > self._limits.seen:
            self._size -= len(self._known.popitem(last=False)[1])
