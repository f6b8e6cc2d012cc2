"""A model's eyes: pictures are read and seen in a thread of their own, beside the batch's."""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Callable
from functools import partial
from threading import Event
from typing import TYPE_CHECKING, TypeVar

from tinsmith.runtime.image_prompt import ImagePrompt
from tinsmith.serve.fair import Threads
from tinsmith.serve.faults import Refused

if TYPE_CHECKING:
    from tinsmith.runtime.image_prompt import Tile
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
        self.memory = model.vision.memory
        self._held: Counter[str] = Counter()  # bytes of rows that questions under way have, by scope
        self._limits = limits
        name = f"tinsmith eyes {model.info.name}"
        self._thread = Threads(1, most=limits.streams, what="questions with pictures", name=name)
        self._known: OrderedDict[tuple[str, bytes], bytes] = OrderedDict()  # rows; used last at the end
        self._size = 0  # bytes of them

    @property
    def waiting(self) -> int:
        """Questions, with the one that is looked at."""
        return self._thread.waiting

    @property
    def held(self) -> int:
        """Bytes of rows that questions under way have."""
        return self._held.total()

    async def do(self, scope: str, work: Callable[[Event], T]) -> T:
        """What the thread makes of the work, which is told when nobody waits for it any more. Raises Refused
        where too many wait."""
        if self._held[scope] >= self._limits.rows // 2:
            raise Refused(
                429,
                "too many questions with pictures are under way for this client; ask again later",
                code="rate_limit_exceeded",
                after=1,
            )
        if self.waiting >= self._limits.queue or self.held >= self._limits.rows:
            raise Refused(
                503,
                "too many questions with pictures are under way; ask again later",
                code="overloaded",
                after=1,
            )
        left = Event()
        try:
            return await self._thread.do(scope, partial(work, left))
        finally:
            left.set()

    def hold(self, prompt: ImagePrompt, ticket: Ticket) -> None:
        """Counts a prompt's rows until its answer ends."""
        size, scope = sum(len(image.rows) for _, image in prompt.tiles), ticket.asked.scope
        self._held[scope] += size
        ticket.at_end(partial(self._free, scope, size))

    def _free(self, scope: str, size: int) -> None:
        self._held[scope] -= size
        if not self._held[scope]:
            del self._held[scope]

    def close(self) -> None:
        self._thread.close()

    # The thread's own.

    def see(self, prompt: ImagePrompt, scope: str, left: Event) -> None:
        """Makes the rows of a prompt's images; those that the scope has asked with lately are known."""
        for _, image in prompt.tiles:
            if left.is_set():
                raise Left
            self._see(image, (scope, image.digest))

    def _see(self, image: Tile, key: tuple[str, bytes]) -> None:
        rows = self._known.pop(key, None)
        self._size -= len(rows or b"")
        image.rows = rows = image.rows if rows is None else rows
        image.make = lambda: rows  # the picture itself is not kept
        self._known[key] = rows
        self._size += len(rows)
        while self._size > self._limits.seen:
            self._size -= len(self._known.popitem(last=False)[1])
