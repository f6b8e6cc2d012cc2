"""One thread for each model file, which alone computes with it; the event loop asks, and is told."""

from __future__ import annotations

import asyncio
import queue
import sys
import threading
import time
import traceback
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tinsmith.runtime.scheduler import Scheduler
from tinsmith.serve.fair import Fair
from tinsmith.serve.faults import Refused

if TYPE_CHECKING:
    from tinsmith.runtime.choice import TokenChoice
    from tinsmith.runtime.generation import Completion
    from tinsmith.runtime.loaded import Loaded
    from tinsmith.runtime.scheduler import Asked, Job

BUDGET = 0.05  # seconds of a step, after which requests that came are taken
Sliced = Iterator[Any]  # work in slices of about BUDGET; the last thing that it yields is its result


@dataclass(frozen=True)
class _Slices:
    """Sliced work of a scope, and what waits for its result."""

    scope: str
    work: Sliced
    result: asyncio.Future[Any]


@dataclass(frozen=True)
class News:
    """What has come of an answer since the last time. tokens: what the text lacks too, such as control tokens.
    completion: once it is done."""

    text: str
    tokens: list[int]
    choices: list[TokenChoice]
    cached: int
    completion: Completion | None


class Ticket:
    """An answer that is under way, on the event loop."""

    def __init__(self, worker: Worker, asked: Asked) -> None:
        self.asked = asked
        self.loop = asyncio.get_running_loop()
        self.job: Job | None = None  # the thread's
        self.seen = 0  # choices that were told
        self.told = 0  # tokens that were
        self.started = time.monotonic()
        self.done = False
        self._worker = worker
        self._after: list[Callable[[], None]] = []
        self._news: asyncio.Queue[News | Exception] = asyncio.Queue()

    async def news(self) -> AsyncIterator[News]:
        """Ends with the completion. Raises what the scheduler did not take, or failed at."""
        while True:
            news = await self._news.get()
            if isinstance(news, Exception):
                raise news
            yield news
            if news.completion is not None:
                return

    def tell(self, news: News | Exception) -> None:
        self._news.put_nowait(news)
        if isinstance(news, Exception) or news.completion is not None:
            self._end()

    def cancel(self) -> None:
        """Its place is free at the next step. Nothing for an answer that is done."""
        if not self.done:
            self._end()
            self._worker.cancelled += 1
            self._worker.send(lambda: self._worker.drop(self))

    def at_end(self, then: Callable[[], None]) -> None:
        self._after.append(then)

    def _end(self) -> None:
        if not self.done:
            self.done = True
            self._worker.ended(self)
            for then in self._after:
                then()


class Worker:
    """What is public is for the event loop, but `drop`."""

    def __init__(self, name: str, model: Loaded, places: int, context: int, queue_: int) -> None:
        """places: answers at once. context: most tokens of a conversation. queue_: answers that may wait."""
        self.name, self.model, self.places, self.context = name, model, places, context
        self.cancelled = 0
        self.failed = 0
        self.open: set[Ticket] = set()
        self._most = places + queue_
        self._seconds = 1.0  # that an answer took lately
        self._over = False
        self._busy, self._tokens = 0.0, 0  # seconds of steps, and tokens of answers that came of them
        self._inbox: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._jobs: dict[Job, Ticket] = {}
        self._tickets: Fair[Ticket] = Fair(places)
        self._slicing = 0  # the event loop's count of what is sliced, or waits for it
        self._sliced: Fair[_Slices] = Fair(1)  # the model has one session that is not the batch's
        self._begun: _Slices | None = None  # what is sliced
        self._scheduler = self._made()
        self._thread = threading.Thread(target=self._run, name=f"tinsmith {name}", daemon=True)
        self._thread.start()

    def _made(self) -> Scheduler:
        return Scheduler(self.model, slots=self.places, context=self.context)

    @property
    def memory(self) -> int:
        return self._scheduler.memory

    @property
    def running(self) -> int:
        """Answers that have a place."""
        return self._scheduler.running

    @property
    def waiting(self) -> int:
        """Answers that wait for one."""
        return max(0, len(self.open) - self.running)

    @property
    def speed(self) -> float | None:
        """Tokens of answers a second of computing, of all together, prompts among it; None: none came yet."""
        return round(self._tokens / self._busy, 1) if self._tokens else None

    @property
    def alive(self) -> bool:
        return self._thread.is_alive()

    def check_room(self, answers: int) -> None:
        """Raises Refused where so many more answers would not find room in the queue."""
        if answers > self._most:
            raise Refused(400, f"asks for {answers} answers; this server has room for {self._most}", "n")
        if len(self.open) + answers > self._most:
            after = round(self._seconds * self.waiting / self.places)
            raise Refused(
                503,
                f"{self.waiting} answers wait for a place already; ask again later",
                code="overloaded",
                after=min(60, max(1, after)),
            )

    def submit(self, asked: Asked) -> Ticket:
        self.check_room(1)
        ticket = Ticket(self, asked)
        self.open.add(ticket)
        self.send(lambda: self._tickets.add(asked.scope, ticket))
        return ticket

    def ended(self, ticket: Ticket) -> None:
        self.open.discard(ticket)
        self._seconds += 0.1 * (time.monotonic() - ticket.started - self._seconds)

    async def between(self, scope: str, make: Callable[[], Sliced]) -> Any:
        """The result of work on the model that is done in slices between the batch's steps. Whose work is next,
        the scopes' shares say."""
        self.check_room(1 + self._slicing)
        result: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self.send(lambda: self._sliced.add(scope, _Slices(scope, make(), result)))
        self._slicing += 1
        try:
            return await result
        finally:
            self._slicing -= 1

    def send(self, what: Callable[[], None]) -> None:
        """Has the thread do something before its next step."""
        self._inbox.put(what)

    def close(self) -> None:
        self.send(self._end)
        self._thread.join()

    # The thread's own.

    def _end(self) -> None:
        self._over = True

    def _run(self) -> None:
        while not self._over:
            try:
                self._read()
                self._step()
            except Exception as error:
                print(traceback.format_exc(), file=sys.stderr)
                self._fail(error)

    def _read(self) -> None:
        """Does what was sent; waits for it where there is nothing else to do."""
        while not self._over:
            try:
                self._inbox.get(block=not self._has_work())()
            except queue.Empty:
                return

    def _has_work(self) -> bool:
        return bool(self._jobs or self._begun or len(self._tickets) or len(self._sliced))

    def _step(self) -> None:
        self._seat()
        if self._jobs:
            told, begun = [], time.monotonic()
            news = self._scheduler.step(BUDGET)
            self._busy += time.monotonic() - begun
            for job in news:
                ticket = self._jobs.get(job)
                if ticket is not None:
                    told.append((ticket, self._news(job, ticket)))
            _tell(told)
        self._slice()

    def _slice(self) -> None:
        """Does a slice of work, where there is any."""
        one = self._begun = self._begun or self._sliced.next()
        if one is None:
            return
        try:
            result = None if one.result.cancelled() else next(one.work)
        except Exception as error:
            result = error
        if result is None and not one.result.cancelled():
            return
        self._begun = None
        self._sliced.leave(one.scope)
        with suppress(RuntimeError):  # the server has ended
            one.result.get_loop().call_soon_threadsafe(_settle, one.result, result)

    def _news(self, job: Job, ticket: Ticket) -> News | Exception:
        if job.error is not None or job.completion is not None:
            del self._jobs[job]
            self._tickets.leave(ticket.asked.scope)
            self._tokens += len(job.completion.token_ids) if job.completion else 0
        if job.error is not None:
            return job.error
        choices = job.choices[ticket.seen :]
        ticket.seen += len(choices)
        tokens = job.answered[ticket.told :]
        ticket.told += len(tokens)
        return News(job.take(), tokens, choices, job.cached_tokens, job.completion)

    def _seat(self) -> None:
        """Gives the places that are free to those who wait."""
        while (ticket := self._tickets.next()) is not None:
            try:
                ticket.job = self._scheduler.add(ticket.asked)
            except Exception as error:
                self._tickets.leave(ticket.asked.scope)
                _tell([(ticket, error)])
            else:
                self._jobs[ticket.job] = ticket

    def drop(self, ticket: Ticket) -> None:
        if ticket.job is None:
            self._tickets.drop(ticket.asked.scope, ticket)
        elif self._jobs.pop(ticket.job, None) is not None:
            self._tickets.leave(ticket.asked.scope)
            self._scheduler.cancel(ticket.job)

    def _fail(self, error: Exception) -> None:
        """All answers under way end with an error, and those that come begin anew."""
        self.failed += 1
        told, self._jobs = [(ticket, error) for ticket in self._jobs.values()], {}
        for ticket, _ in told:
            self._tickets.leave(ticket.asked.scope)
        _tell(told)
        self._scheduler = self._made()


def _tell(told: list[tuple[Ticket, Any]]) -> None:
    def tell() -> None:
        for ticket, news in told:
            ticket.tell(news)

    if told:
        with suppress(RuntimeError):  # the server has ended
            told[0][0].loop.call_soon_threadsafe(tell)


def _settle(result: asyncio.Future[Any], value: Any) -> None:
    if result.done():
        return
    if isinstance(value, Exception):
        result.set_exception(value)
    else:
        result.set_result(value)
