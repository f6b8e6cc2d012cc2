"""Fair sharing: a free slot goes to the waiting client with the fewest slots."""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from typing import Generic, TypeVar

from tinsmith.serve.errors import rate_limited

T = TypeVar("T")


class Shares(Counter[str]):
    """Amounts in use by client; a client without any has no entry."""

    def release(self, client: str, amount: int = 1) -> None:
        self[client] -= amount
        if not self[client]:
            del self[client]


class FairQueue(Generic[T]):
    """Clients' items that wait for slots.

    The next item belongs to the client with the fewest slots; among equals, to the least recently served. A
    client's items keep their order."""

    def __init__(self, slots: int, per_client: int | None = None) -> None:
        self._slots, self._per_client = slots, per_client or slots
        self._waiting: dict[str, deque[T]] = {}
        self._used = Shares()
        self._last: dict[str, int] = {}  # when a client last got a slot, counted in slots given
        self._given = 0
        self.used = 0

    def __len__(self) -> int:
        """Waiting items."""
        return sum(map(len, self._waiting.values()))

    def waiting(self, client: str) -> int:
        return len(self._waiting.get(client, ()))

    def put(self, client: str, item: T) -> None:
        self._waiting.setdefault(client, deque()).append(item)

    def next(self) -> T | None:
        """Gives the next item a slot; None where no slot is free or no client may have one."""
        clients = [client for client in self._waiting if self._used[client] < self._per_client]
        if not clients or self.used >= self._slots:
            return None
        client = min(clients, key=lambda one: (self._used[one], self._last.get(one, 0)))
        item = self._waiting[client].popleft()
        self._given += 1
        self._last[client] = self._given
        self._used[client] += 1
        self.used += 1
        self._forget(client)
        return item

    def release(self, client: str) -> None:
        """Frees a slot of the client."""
        self.used -= 1
        self._used.release(client)
        self._forget(client)

    def remove(self, client: str, item: T) -> bool:
        """Removes a waiting item; False where it does not wait."""
        items = self._waiting.get(client, deque())
        if item not in items:
            return False
        items.remove(item)
        self._forget(client)
        return True

    def _forget(self, client: str) -> None:
        """Drops empty entries of the client."""
        if not self._waiting.get(client):
            self._waiting.pop(client, None)
            if client not in self._used:
                self._last.pop(client, None)


class FairThreadPool:
    """A thread keeps its slot until it ends, even after its client has disconnected."""

    def __init__(
        self,
        slots: int,
        *,
        per_client: int | None = None,
        max_waiting: int,
        what: str,
        name: str = "tinsmith request",
    ) -> None:
        """max_waiting: tasks of one client. what: their name in errors. name: of the threads."""
        self._queue: FairQueue[asyncio.Future[None]] = FairQueue(slots, per_client)
        self._max_waiting, self._what = max_waiting, what
        self._pool = ThreadPoolExecutor(slots, name)

    @property
    def waiting(self) -> int:
        """Waiting and running tasks."""
        return len(self._queue) + self._queue.used

    async def run(self, client: str, work: Callable[[], T]) -> T:
        await self._acquire(client)
        loop = asyncio.get_running_loop()

        def done(_: object) -> None:
            with suppress(RuntimeError):  # the event loop is closed
                loop.call_soon_threadsafe(partial(self._release, client))

        future = self._pool.submit(work)
        future.add_done_callback(done)
        return await asyncio.wrap_future(future)

    async def _acquire(self, client: str) -> None:
        if self._queue.waiting(client) >= self._max_waiting:
            raise rate_limited(f"{self._max_waiting} {self._what} of this client are waiting")
        ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._queue.put(client, ready)
        self._admit()
        try:
            await ready
        except asyncio.CancelledError:
            if not self._queue.remove(client, ready):  # it had already got a slot
                self._release(client)
            raise

    def _admit(self) -> None:
        while (ready := self._queue.next()) is not None:
            if not ready.done():  # a cancelled task releases its slot itself
                ready.set_result(None)

    def _release(self, client: str) -> None:
        self._queue.release(client)
        self._admit()

    def close(self) -> None:
        self._pool.shutdown(cancel_futures=True)
