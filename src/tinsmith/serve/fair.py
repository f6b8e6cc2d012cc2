"""Fair shares: where several clients want more than there is, the one that has the least comes next."""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import Generic, TypeVar

from tinsmith.serve.faults import Refused

T = TypeVar("T")


class Fair(Generic[T]):
    """Items that wait for one of several places, each of a scope. Next is an item of the scope that has the
    fewest places; of such scopes, the one that got its last place the longest ago; of its items, the first."""

    def __init__(self, places: int, each: int | None = None) -> None:
        """each: most places of one scope; None: all."""
        self._places, self._each = places, each or places
        self._waiting: dict[str, deque[T]] = {}
        self._taken: Counter[str] = Counter()
        self._last: dict[str, int] = {}  # which place a scope got last, of all that were given
        self._given = 0
        self.taken = 0

    def __len__(self) -> int:
        """Items that wait."""
        return sum(map(len, self._waiting.values()))

    def waiting(self, scope: str) -> int:
        return len(self._waiting.get(scope, ()))

    def add(self, scope: str, item: T) -> None:
        self._waiting.setdefault(scope, deque()).append(item)

    def next(self) -> T | None:
        """Gives a place to the next item; None: no place is left, or nobody may have it."""
        may = [scope for scope in self._waiting if self._taken[scope] < self._each]
        if not may or self.taken >= self._places:
            return None
        scope = min(may, key=lambda one: (self._taken[one], self._last.get(one, 0)))
        item = self._waiting[scope].popleft()
        self._given += 1
        self._last[scope] = self._given
        self._taken[scope] += 1
        self.taken += 1
        self._forget(scope)
        return item

    def leave(self, scope: str) -> None:
        """Of an item of the scope: its place is free."""
        self.taken -= 1
        self._taken[scope] -= 1
        self._forget(scope)

    def drop(self, scope: str, item: T) -> bool:
        """Whether the item waited; it does no more."""
        items = self._waiting.get(scope, deque())
        if item not in items:
            return False
        items.remove(item)
        self._forget(scope)
        return True

    def _forget(self, scope: str) -> None:
        """What is not needed of it any more."""
        if not self._waiting.get(scope):
            self._waiting.pop(scope, None)
        if not self._taken[scope]:
            del self._taken[scope]
            if scope not in self._waiting:
                self._last.pop(scope, None)


class Gate:
    """Fair shares of what coroutines use: a process, or threads."""

    def __init__(self, places: int, *, each: int | None = None, most: int, what: str) -> None:
        """each: as Fair. most: that may wait, of one scope. what: they are called in errors."""
        self._fair: Fair[asyncio.Future[None]] = Fair(places, each)
        self._most, self._what = most, what

    @property
    def waiting(self) -> int:
        """Who waits, with those who have a place."""
        return len(self._fair) + self._fair.taken

    @asynccontextmanager
    async def place(self, scope: str) -> AsyncIterator[None]:
        await self._enter(scope)
        try:
            yield
        finally:
            self._leave(scope)

    async def _enter(self, scope: str) -> None:
        """Raises Refused where too many of the scope wait."""
        if self._fair.waiting(scope) >= self._most:
            message = f"{self._most} {self._what} of this client wait already; ask again later"
            raise Refused(429, message, code="rate_limit_exceeded", after=1)
        ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._fair.add(scope, ready)
        self._admit()
        try:
            await ready
        except asyncio.CancelledError:
            if not self._fair.drop(scope, ready):  # it had its place
                self._leave(scope)
            raise

    def _admit(self) -> None:
        while (ready := self._fair.next()) is not None:
            if not ready.done():  # a cancelled one leaves when it finds out
                ready.set_result(None)

    def _leave(self, scope: str) -> None:
        self._fair.leave(scope)
        self._admit()


class Threads(Gate):
    """Threads beside the event loop. A thread that works for nobody any more has its place until it ends."""

    def __init__(
        self, places: int, *, each: int | None = None, most: int, what: str, name: str = "tinsmith beside"
    ) -> None:
        """name: of the threads."""
        super().__init__(places, each=each, most=most, what=what)
        self._pool = ThreadPoolExecutor(places, name)

    async def do(self, scope: str, work: Callable[[], T]) -> T:
        """What the work makes. Raises Refused where too much of the scope waits."""
        await self._enter(scope)
        loop = asyncio.get_running_loop()

        def ended(_: object) -> None:
            with suppress(RuntimeError):  # the server has ended
                loop.call_soon_threadsafe(partial(self._leave, scope))

        done = self._pool.submit(work)
        done.add_done_callback(ended)
        return await asyncio.wrap_future(done)

    def close(self) -> None:
        self._pool.shutdown(cancel_futures=True)
